package types // want "package called types"

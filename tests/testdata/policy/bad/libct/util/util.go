package util // want "package called util" "has no layer"

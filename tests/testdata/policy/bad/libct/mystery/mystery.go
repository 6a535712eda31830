package mystery // want "package libct/mystery has no layer"

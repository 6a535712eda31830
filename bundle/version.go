package main

// version is the release that CHANGELOG.md describes; the runtime's is the same.
const version = "0.1.0"

// commit is the git commit of the build, set by the Makefile with -ldflags -X.
// It is empty when the sources are not a git checkout.
var commit string

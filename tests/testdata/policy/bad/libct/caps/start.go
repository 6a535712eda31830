package caps

import (
	"errors"
	"fmt"
	"os"
	"regexp"
)

func init() {} // want "no init functions"

var (
	errNone = errors.New(fmt.Sprint("none")) // want "computed at start-up"
	name    = regexp.MustCompile("^CAP_")    // want "computed at start-up"
	byName  = make(map[string]int)           // want "computed at start-up"
	last    = func() int { return 40 }()     // want "computed at start-up"
	table   = []string{os.Getenv("CAPS")}    // want "computed at start-up"
)

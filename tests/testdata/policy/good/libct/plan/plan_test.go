package plan_test

import (
	"regexp"

	"github.com/hako-runtime/hako/libct/plan"
)

var idPattern = regexp.MustCompile("^[a-z]+$")

func init() {}

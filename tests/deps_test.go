// Package tests holds what no single package can promise: the import policy,
// and beside it the bats files that run the programs.
package tests

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/hako-runtime/hako"

// A package belongs to one layer, and imports from lower layers only: imports
// point down, siblings never meet. The numbers have no other meaning.
const (
	ground    = iota + 1 // what generated code runs on
	leaf                 // one kernel interface or one format
	shared               // by the parts of one mechanism, and known to nobody else
	part                 // of a mechanism: another mechanism must not know it
	mechanism            // takes kernel terms
	planning             // config.json and host facts become kernel terms
	side                 // the host's and the container's side of one life
	program
	outside // benchmarks and tests: nobody imports them
)

// layers is the import policy of ARCHITECTURE: a new package is a new row.
// Names are relative to the module; the command line is ".".
var layers = map[string]int{
	"libct/fastjson": ground,

	"libct/early":         leaf,
	"libct/cgroup/limits": leaf,
	"libct/cgroup/stats":  leaf,
	"libct/host":          leaf,
	"libct/idmap":         leaf,
	"libct/quiet":         leaf,
	"libct/relay":         leaf,
	"libct/safepath":      leaf,
	"libct/seccomp/bpf":   leaf,
	"libct/timeline":      leaf,
	"libct/wire":          leaf,

	"libct/cgroup/tree": shared,

	"libct/cgroup/devices": part,
	"libct/cgroup/systemd": part,
	"libct/cgroup/v1":      part,
	"libct/cgroup/v2":      part,

	"libct/caps":    mechanism,
	"libct/cgroup":  mechanism,
	"libct/console": mechanism,
	"libct/criu":    mechanism,
	"libct/hooks":   mechanism,
	"libct/lsm":     mechanism,
	"libct/netdev":  mechanism,
	"libct/proc":    mechanism,
	"libct/rdt":     mechanism,
	"libct/rootfs":  mechanism,
	"libct/seccomp": mechanism,
	"libct/spawn":   mechanism,
	"libct/state":   mechanism,

	"libct/plan": planning,

	"libct":          side,
	"libct/initproc": side,

	".": program,

	// The image tool: formats and storage, then what joins them.
	"bundle/folder":       leaf,
	"bundle/layer/gunzip": leaf,
	"bundle/paged":        leaf,
	"bundle/layer":        mechanism,
	"bundle/overlay":      mechanism,
	"bundle/snapshot":     mechanism,
	"bundle/store":        mechanism,
	"bundle/image":        side,
	"bundle/registry":     side,
	"bundle/runconf":      side,
	"bundle":              program,
}

// layerOf returns the layer of a package; 0 if it has none.
func layerOf(pkg string) int {
	switch top, _, _ := strings.Cut(pkg, "/"); top {
	case "bench", "tests":
		return outside
	}
	return layers[pkg]
}

// bundleMayUse is all of libct that the image tool knows.
var bundleMayUse = []string{"libct/safepath", "libct/idmap", "libct/early"}

// sharedLeaves are the leaves that both libct and libct/initproc may import;
// plan and the mechanisms they share freely. Host facts and paths reach the
// container's side in the plan and as descriptors.
var sharedLeaves = []string{"libct/wire", "libct/timeline", "libct/fastjson"}

const (
	cliModule     = "github.com/urfave/cli/v3"
	digestModule  = "github.com/opencontainers/go-digest"
	imageSpec     = "github.com/opencontainers/image-spec"
	mountinfo     = "github.com/moby/sys/mountinfo"
	runtimeSpec   = "github.com/opencontainers/runtime-spec"
	sysModule     = "golang.org/x/sys" // allowed everywhere
	compression   = "github.com/klauspost/compress"
	schemaChecker = "github.com/santhosh-tekuri/jsonschema/v6"
	generatedJSON = "github.com/mailru/easyjson" // reflection would cost each start a millisecond
)

// thirdParty lists who may import which module, beside golang.org/x/sys. Only
// plan interprets the runtime-spec; the others here read or write its state JSON.
var thirdParty = map[string][]string{
	".":                    {cliModule, runtimeSpec},
	"libct":                {runtimeSpec, generatedJSON},
	"libct/fastjson":       {generatedJSON},
	"libct/plan":           {runtimeSpec, generatedJSON},
	"libct/state":          {generatedJSON},
	"libct/wire":           {generatedJSON},
	"libct/safepath":       {"github.com/cyphar/filepath-securejoin"},
	"libct/host":           {mountinfo},
	"libct/rootfs":         {mountinfo},
	"libct/cgroup/devices": {"github.com/cilium/ebpf"},
	"libct/cgroup/v1":      {mountinfo},
	"libct/cgroup/systemd": {"github.com/coreos/go-systemd/v22", "github.com/godbus/dbus/v5"},
	"libct/netdev":         {"github.com/vishvananda/netlink", "github.com/vishvananda/netns"},

	"bundle": {
		cliModule, digestModule, imageSpec, runtimeSpec, compression,
		"github.com/moby/buildkit", "github.com/moby/patternmatcher", // Dockerfiles
	},
	"bundle/image":    {digestModule, imageSpec},
	"bundle/layer":    {compression, digestModule, imageSpec},
	"bundle/overlay":  {digestModule},
	"bundle/registry": {compression, digestModule, imageSpec, "oras.land/oras-go/v2", "golang.org/x/sync"},
	"bundle/runconf":  {imageSpec, runtimeSpec},
	"bundle/snapshot": {digestModule},
	"bundle/store":    {compression, digestModule, imageSpec},
}

// testModules may be imported by the _test.go files of all packages, and by
// the programs below tests and bench.
var testModules = []string{digestModule, imageSpec, runtimeSpec, schemaChecker}

// vagueNames say nothing about what a package knows.
var vagueNames = []string{"common", "helpers", "misc", "types", "util", "utils"}

const maxLines = 500

func TestSourcesFollowThePolicy(t *testing.T) {
	problems, err := check(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// Every line of the bad fixture that breaks a rule says so in a comment:
// // want "part of the message".
func TestPolicyRefusesTheBadFixture(t *testing.T) {
	tree := os.DirFS("testdata/policy/bad")
	problems, err := check(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := wanted(t, tree)
	for _, p := range problems {
		where, text, _ := strings.Cut(p, ": ")
		i := slices.IndexFunc(want[where], func(w string) bool { return strings.Contains(text, w) })
		if i < 0 {
			t.Errorf("unexpected: %s", p)
			continue
		}
		want[where] = slices.Delete(want[where], i, i+1)
	}
	for where, texts := range want {
		for _, text := range texts {
			t.Errorf("%s: not found: %q", where, text)
		}
	}
}

func TestPolicyAcceptsTheGoodFixture(t *testing.T) {
	problems, err := check(os.DirFS("testdata/policy/good"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

func TestPolicyLimitsTheSizeOfFiles(t *testing.T) {
	source := func(lines int) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("package caps\n" + strings.Repeat("\n", lines-1))}
	}
	for _, tt := range []struct {
		name string
		file string
		size int
		want int
	}{
		{"at the limit", "caps.go", maxLines, 0},
		{"over the limit", "caps.go", maxLines + 1, 1},
		{"a table", "names_table.go", maxLines + 1, 0},
		{"a generated table", "znames_amd64.go", maxLines + 1, 0},
		{"a test", "caps_test.go", maxLines + 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			problems, err := check(fstest.MapFS{"libct/caps/" + tt.file: source(tt.size)})
			if err != nil || len(problems) != tt.want {
				t.Errorf("got %v, %v, want %d problems", problems, err, tt.want)
			}
		})
	}
}

var wantComment = regexp.MustCompile(`"([^"]*)"`)

// wanted returns the messages that the comments of a fixture ask for, by FILE:LINE.
func wanted(t *testing.T, tree fs.FS) map[string][]string {
	want := map[string][]string{}
	err := walk(tree, func(name string, src []byte) error {
		for i, line := range strings.Split(string(src), "\n") {
			if _, comment, ok := strings.Cut(line, "// want "); ok {
				for _, m := range wantComment.FindAllStringSubmatch(comment, -1) {
					where := fmt.Sprintf("%s:%d", name, i+1)
					want[where] = append(want[where], m[1])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Fatal("the fixture has no // want comment")
	}
	return want
}

// source is one parsed file.
type source struct {
	name string // slash-separated, below the module's root
	dir  string // the package: "." or libct/plan
	file *ast.File
	test bool
}

// site is where a package has an import.
type site struct {
	source source
	spec   *ast.ImportSpec
}

// checker collects what breaks a rule.
type checker struct {
	fset     *token.FileSet
	sources  []source
	types    map[string]map[string]bool // package → names of its types
	imports  map[string]map[string]site // package → imports, without those of tests
	problems []string
}

// check parses all Go files below a module's root, for all architectures, and
// returns what breaks the policy as "FILE:LINE: message", sorted.
func check(tree fs.FS) ([]string, error) {
	c := &checker{
		fset:    token.NewFileSet(),
		types:   map[string]map[string]bool{},
		imports: map[string]map[string]site{},
	}
	if err := walk(tree, c.parse); err != nil {
		return nil, err
	}
	for _, s := range c.sources {
		c.checkName(s)
		c.checkImports(s)
		if !s.test && layerOf(s.dir) != outside {
			c.checkInit(s)
			c.checkVars(s)
		}
	}
	c.checkShared()
	slices.Sort(c.problems)
	return c.problems, nil
}

// walk calls fn for each Go file that the go command would see.
func walk(tree fs.FS, fn func(name string, src []byte) error) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		base := path.Base(name)
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return fn(name, src)
	})
}

// parse adds a file. A generator (go:build ignore) is in no package, so that
// only its size counts.
func (c *checker) parse(name string, src []byte) error {
	file, err := parser.ParseFile(c.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s := source{name: name, dir: path.Dir(name), file: file, test: strings.HasSuffix(name, "_test.go")}
	if n := bytes.Count(src, []byte("\n")); n > maxLines && !s.test && !isTable(name) {
		c.report(s, file, "%d lines: at most %d, tables aside", n, maxLines)
	}
	if ignored(file) {
		return nil
	}
	c.sources = append(c.sources, s)
	if c.types[s.dir] == nil {
		c.types[s.dir] = map[string]bool{}
		c.imports[s.dir] = map[string]site{}
	}
	for _, decl := range file.Decls {
		if decl, ok := decl.(*ast.GenDecl); ok && decl.Tok == token.TYPE {
			for _, spec := range decl.Specs {
				c.types[s.dir][spec.(*ast.TypeSpec).Name.Name] = true
			}
		}
	}
	return nil
}

func isTable(name string) bool {
	base := path.Base(name)
	return base == "table.go" || strings.HasSuffix(base, "_table.go") || strings.HasPrefix(base, "z")
}

func ignored(file *ast.File) bool {
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if comment.Pos() < file.Package && constraint.IsGoBuild(comment.Text) {
				expr, err := constraint.Parse(comment.Text)
				return err == nil && !expr.Eval(func(tag string) bool { return tag != "ignore" })
			}
		}
	}
	return false
}

// report notes a problem at a node; a whole file is told by its package clause.
func (c *checker) report(s source, at ast.Node, format string, args ...any) {
	pos := at.Pos()
	if file, ok := at.(*ast.File); ok {
		pos = file.Package
	}
	line := c.fset.Position(pos).Line
	c.problems = append(c.problems, fmt.Sprintf("%s:%d: %s", s.name, line, fmt.Sprintf(format, args...)))
}

var linuxFile = regexp.MustCompile(`_linux(_[a-z0-9]+)?(_test)?\.go$`)

func (c *checker) checkName(s source) {
	if linuxFile.MatchString(s.name) {
		c.report(s, s.file, "hako is for Linux only: no _linux in file names")
	}
	clause := strings.TrimSuffix(s.file.Name.Name, "_test")
	for _, vague := range vagueNames {
		if clause == vague || path.Base(s.dir) == vague {
			c.report(s, s.file, "a package called %s says nothing", vague)
			break
		}
	}
	if layerOf(s.dir) == 0 {
		c.report(s, s.file, "package %s has no layer in tests/deps_test.go", s.dir)
	}
}

func (c *checker) checkImports(s source) {
	for _, spec := range s.file.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			c.report(s, spec, "%v", err)
			continue
		}
		dep, _ := internal(imp)
		if spec.Name != nil && spec.Name.Name == "_" && imp != "unsafe" && imp != "embed" && !slices.Contains(initFunctions, dep) {
			c.report(s, spec, "blank import of %s: no hooks at start-up", imp)
		}
		if why := refuse(s, imp); why != "" {
			c.report(s, spec, "imports %s: %s", strings.TrimPrefix(imp, module+"/"), why)
		}
		if dep, ok := internal(imp); ok && !s.test {
			c.imports[s.dir][dep] = site{s, spec}
		}
	}
}

// internal returns the name of a package of this module, relative to its root.
func internal(imp string) (string, bool) {
	if imp == module {
		return ".", true
	}
	return strings.CutPrefix(imp, module+"/")
}

// refuse says why a file may not have an import; "" if it may.
func refuse(s source, imp string) string {
	first, _, _ := strings.Cut(imp, "/")
	switch dep, ok := internal(imp); {
	case imp == "C":
		return "no C anywhere"
	case ok:
		return refuseInternal(s.dir, dep)
	case !strings.Contains(first, "."): // the standard library
		return ""
	}
	allowed := append([]string{sysModule}, thirdParty[s.dir]...)
	if s.test || layerOf(s.dir) == outside {
		allowed = append(allowed, testModules...)
	}
	for _, mod := range allowed {
		if imp == mod || strings.HasPrefix(imp, mod+"/") {
			return ""
		}
	}
	return "not on this package's list of third-party modules"
}

// refuseInternal compares two packages of this module. A test in package
// foo_test may import foo.
func refuseInternal(from, to string) string {
	fromLayer, toLayer := layerOf(from), layerOf(to)
	switch {
	case from == to:
		return ""
	case toLayer == outside:
		return "nobody imports tests or benchmarks"
	case fromLayer == outside, fromLayer == 0: // reported as a package without a layer
		return ""
	case ofBundle(from) && !ofBundle(to) && !slices.Contains(bundleMayUse, to):
		return "of hako, bundle knows only " + strings.Join(bundleMayUse, ", ")
	case !ofBundle(from) && ofBundle(to):
		return "hako never imports bundle"
	case fromLayer == toLayer:
		return "siblings never meet"
	case fromLayer < toLayer:
		return "imports point down"
	case toLayer == shared && from != path.Dir(to) && path.Dir(from) != path.Dir(to),
		toLayer == part && fromLayer == mechanism && from != path.Dir(to):
		return "it belongs to " + path.Dir(to)
	}
	return ""
}

func ofBundle(pkg string) bool { return pkg == "bundle" || strings.HasPrefix(pkg, "bundle/") }

// checkShared compares what the two sides of a container's life import.
func (c *checker) checkShared() {
	for dep, at := range c.imports["libct/initproc"] {
		_, both := c.imports["libct"][dep]
		if both && layerOf(dep) == leaf && !slices.Contains(sharedLeaves, dep) {
			c.report(at.source, at.spec, "imports %s, as libct does: they share plan, mechanisms and %s only",
				dep, strings.Join(sharedLeaves, ", "))
		}
	}
}

// initFunctions are the packages whose init function has a purpose that nothing
// else can serve; docs/design.md, "What the Go runtime costs".
var initFunctions = []string{"libct/early", "libct/initproc", "libct/quiet"}

func (c *checker) checkInit(s source) {
	if slices.Contains(initFunctions, s.dir) {
		return
	}
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			c.report(s, f, "no init functions")
		}
	}
}

// checkVars refuses package variables whose value a call computes at start-up.
func (c *checker) checkVars(s source) {
	for _, decl := range s.file.Decls {
		vars, ok := decl.(*ast.GenDecl)
		if !ok || vars.Tok != token.VAR {
			continue
		}
		ast.Inspect(vars, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false // runs when it is called
			case *ast.CallExpr:
				if !c.isStatic(s, n) {
					c.report(s, n, "package variable computed at start-up")
					return false
				}
			}
			return true
		})
	}
}

// staticCalls cost nothing, or put the work off to the first use. The rest
// are types of other modules, in conversions.
var staticCalls = map[string]bool{
	"errors.New": true, "sync.OnceFunc": true, "sync.OnceValue": true, "sync.OnceValues": true,
	"fs.FileMode": true, "os.FileMode": true, "json.RawMessage": true, "time.Duration": true,
	"syscall.Errno": true, "syscall.Signal": true, "unix.Errno": true, "unix.Signal": true,
	"unsafe.Offsetof": true, "unsafe.Sizeof": true, "digest.Digest": true,
}

var builtins = map[string]bool{
	"cap": true, "complex": true, "imag": true, "len": true, "max": true, "min": true,
	"new": true, "real": true,
	"any": true, "bool": true, "byte": true, "error": true, "float32": true, "float64": true,
	"int": true, "int8": true, "int16": true, "int32": true, "int64": true, "rune": true,
	"string": true, "uint": true, "uint8": true, "uint16": true, "uint32": true,
	"uint64": true, "uintptr": true,
}

// isStatic tells whether a call is a conversion, or one that may stand in a
// package variable. Without types it knows those that our packages declare.
func (c *checker) isStatic(s source, call *ast.CallExpr) bool {
	fun := ast.Unparen(call.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	switch fun := fun.(type) {
	case *ast.ArrayType, *ast.ChanType, *ast.FuncType, *ast.InterfaceType, *ast.MapType, *ast.StarExpr:
		return true
	case *ast.Ident:
		return builtins[fun.Name] || c.types[s.dir][fun.Name]
	case *ast.SelectorExpr:
		pkg, ok := fun.X.(*ast.Ident)
		if !ok {
			return false
		}
		return staticCalls[pkg.Name+"."+fun.Sel.Name] || c.types[c.imported(s, pkg.Name)][fun.Sel.Name]
	}
	return false
}

// imported returns which package of this module a file calls by that name.
func (c *checker) imported(s source, name string) string {
	for _, spec := range s.file.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		dep, ok := internal(imp)
		if err != nil || !ok {
			continue
		}
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && path.Base(dep) == name {
			return dep
		}
	}
	return ""
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// completionCommand describes completion.
func (a *app) completionCommand() *cli.Command {
	return &cli.Command{
		Usage:     "print a completion script for a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `The script completes commands, options and the IDs of containers:

   # hako completion bash > /etc/bash_completion.d/hako
   # hako completion zsh > /usr/local/share/zsh/site-functions/_hako
   # hako completion fish > /etc/fish/completions/hako.fish`,
		Action: a.completion,
	}
}

// completion runs completion.
func (a *app) completion(_ context.Context, c *cli.Command) error {
	if c.Args().Len() != 1 {
		return errors.New("one shell is needed: bash, zsh or fish")
	}
	script, ok := a.script(c.Args().First())
	if !ok {
		return fmt.Errorf("unknown shell %q: must be bash, zsh or fish", c.Args().First())
	}
	_, err := io.WriteString(a.stdout, script)
	return err
}

// script generates the completion script for a shell.
func (a *app) script(shell string) (string, bool) {
	commands := a.completions()
	switch shell {
	case "bash":
		return bashScript(commands), true
	case "zsh":
		return zshScript(commands), true
	case "fish":
		return fishScript(commands), true
	}
	return "", false
}

// What may stand where an option cannot.
type operand int

const (
	opNothing operand = iota
	opCommand         // a command of hako
	opID              // an existing container
	opShell
)

// completed is what a shell has to know of a command; the first one, without
// a name, is hako with its global options.
type completed struct {
	name, usage string
	operand     operand
	flags       []flagDoc
}

// completions describes the command table for scripts.
func (a *app) completions() []completed {
	list := []completed{{operand: opCommand, flags: describeAll(append(globalFlags(), versionFlag()))}}
	for _, e := range a.commands() {
		c := a.finish(e)
		list = append(list, completed{e.name, c.Usage, operandOf(c), describeAll(c.Flags)})
	}
	return list
}

// operandOf tells what stands behind the options of a command. The IDs for
// create, run and restore are new ones.
func operandOf(c *cli.Command) operand {
	switch {
	case c.Name == "completion":
		return opShell
	case c.ArgsUsage == "" || slices.Contains([]string{"create", "run", "restore"}, c.Name):
		return opNothing
	}
	return opID
}

// describeAll describes the flags of a command, --help included.
func describeAll(flags []cli.Flag) []flagDoc {
	var list []flagDoc
	for _, f := range append(visible(flags), helpFlag()) {
		list = append(list, describe(f))
	}
	return list
}

// shells are the arguments of completion.
const shells = "bash zsh fish"

// bashScript generates a function for complete -F.
func bashScript(commands []completed) string {
	var b strings.Builder
	b.WriteString(strings.Replace(bashHead, "@VALUES@", valueNames(commands[0]), 1))
	for _, c := range commands {
		operands := ""
		switch c.operand {
		case opCommand:
			operands = commandNames(commands)
		case opID:
			operands = "$(_hako_ids)"
		case opShell:
			operands = shells
		}
		bashCase(&b, c, operands)
	}
	b.WriteString(bashTail)
	return b.String()
}

// bashCase writes what can follow one command.
func bashCase(b *strings.Builder, c completed, operands string) {
	var flags, values, files []string
	var cases strings.Builder
	for _, f := range c.flags {
		flags = append(flags, f.names...)
		if f.placeholder != "" {
			values = append(values, f.names...)
		}
		if f.file {
			files = append(files, f.names...)
		}
		if f.choices != nil {
			fmt.Fprintf(&cases, "        %s) choices=%q ;;\n", strings.Join(f.names, "|"), strings.Join(f.choices, " "))
		}
	}
	fmt.Fprintf(b, "    %s)\n        flags=%q\n        values=%q\n        files=%q\n", cmp.Or(c.name, `""`),
		strings.Join(flags, " "), strings.Join(values, " "), strings.Join(files, " "))
	if cases.Len() > 0 {
		fmt.Fprintf(b, "        case $prev in\n%s        esac\n", cases.String())
	}
	if operands != "" {
		fmt.Fprintf(b, "        [[ $cur == -* ]] || operands=\"%s\"\n", operands)
	}
	b.WriteString("        ;;\n")
}

// commandNames joins the names of all commands.
func commandNames(commands []completed) string {
	var names []string
	for _, c := range commands[1:] {
		names = append(names, c.name)
	}
	return strings.Join(append(names, "help"), " ")
}

// valueNames joins the options that are followed by a value, as a pattern.
func valueNames(c completed) string {
	var names []string
	for _, f := range c.flags {
		if f.placeholder != "" {
			names = append(names, f.names...)
		}
	}
	return strings.Join(names, "|")
}

const bashHead = `# bash completion for hako, written by "hako completion bash"

_hako_ids() {
    hako list -q 2>/dev/null
}

_hako() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local command="" flags="" values="" files="" choices="" operands="" i
    # --flag=value arrives as three words
    if [[ $cur == "=" ]]; then
        cur=""
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    # the command is the first word that is neither an option nor its value
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        @VALUES@)
            [[ ${COMP_WORDS[i+1]} == "=" ]] && ((i++))
            ((i++))
            ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    case $command in
`

const bashTail = `    esac
    if [[ -n $choices ]]; then
        COMPREPLY=($(compgen -W "$choices" -- "$cur"))
    elif [[ " $files " == *" $prev "* ]]; then
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "$cur"))
    elif [[ " $values " == *" $prev "* ]]; then
        COMPREPLY=()
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    else
        COMPREPLY=($(compgen -W "$operands" -- "$cur"))
    fi
}

complete -F _hako hako
`

// zshScript generates a function for compinit.
func zshScript(commands []completed) string {
	var b strings.Builder
	b.WriteString("#compdef hako\n# zsh completion for hako, written by \"hako completion zsh\"\n\n" +
		"_hako_ids() {\n    local -a ids\n    ids=(${(f)\"$(_call_program containers hako list -q 2>/dev/null)\"})\n" +
		"    compadd -a ids\n}\n\n" +
		"_hako_commands() {\n    local -a commands\n    commands=(\n")
	for _, c := range commands[1:] {
		fmt.Fprintf(&b, "        %s\n", quoteShell(c.name+":"+c.usage))
	}
	b.WriteString("    )\n    _describe command commands\n}\n\n_hako() {\n    local curcontext=$curcontext state line\n    typeset -A opt_args\n    _arguments -C")
	zshFlags(&b, commands[0].flags, "        ")
	b.WriteString(" \\\n        '1:command:_hako_commands' \\\n        '*::argument:->arguments'\n" +
		"    [[ $state == arguments ]] || return\n    case $words[1] in\n")
	for _, c := range commands[1:] {
		fmt.Fprintf(&b, "    %s)\n        _arguments", c.name)
		zshFlags(&b, c.flags, "            ")
		switch c.operand {
		case opID:
			b.WriteString(" \\\n            '*:container:_hako_ids'")
		case opShell:
			b.WriteString(" \\\n            '1:shell:(" + shells + ")'")
		}
		b.WriteString("\n        ;;\n")
	}
	b.WriteString("    esac\n}\n\n_hako \"$@\"\n")
	return b.String()
}

// zshFlags writes specifications for _arguments, one for each name.
func zshFlags(b *strings.Builder, flags []flagDoc, indent string) {
	explain := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`)
	for _, f := range flags {
		for _, name := range f.names {
			spec := name
			switch {
			case f.repeats:
				spec = "*" + name
			case len(f.names) > 1:
				spec = "(" + strings.Join(f.names, " ") + ")" + name
			}
			if f.placeholder != "" && strings.HasPrefix(name, "--") {
				spec += "=" // --flag=value as well as --flag value
			}
			spec += "[" + explain.Replace(f.usage) + "]"
			switch {
			case f.choices != nil:
				spec += ":value:(" + strings.Join(f.choices, " ") + ")"
			case f.file:
				spec += ":file:_files"
			case f.placeholder != "":
				spec += ":value: "
			}
			fmt.Fprintf(b, " \\\n%s%s", indent, quoteShell(spec))
		}
	}
}

// fishScript generates complete commands.
func fishScript(commands []completed) string {
	var b strings.Builder
	b.WriteString("# fish completion for hako, written by \"hako completion fish\"\n\ncomplete -c hako -f\n")
	for _, c := range commands {
		condition := "__fish_use_subcommand"
		if c.name != "" {
			condition = quoteShell("__fish_seen_subcommand_from " + c.name)
			fmt.Fprintf(&b, "\ncomplete -c hako -n __fish_use_subcommand -a %s -d %s\n", c.name, quoteShell(c.usage))
		}
		for _, f := range c.flags {
			fmt.Fprintf(&b, "complete -c hako -n %s%s -d %s\n", condition, fishFlag(f), quoteShell(f.usage))
		}
		switch c.operand {
		case opID:
			fmt.Fprintf(&b, "complete -c hako -n %s -a '(hako list -q 2>/dev/null)' -d container\n", condition)
		case opShell:
			fmt.Fprintf(&b, "complete -c hako -n %s -a '%s'\n", condition, shells)
		}
	}
	return b.String()
}

// fishFlag writes the names of an option and what follows it.
func fishFlag(f flagDoc) string {
	var s string
	for _, name := range f.names {
		if long, ok := strings.CutPrefix(name, "--"); ok {
			s += " -l " + long
		} else {
			s += " -s " + strings.TrimPrefix(name, "-")
		}
	}
	switch {
	case f.choices != nil:
		s += " -x -a '" + strings.Join(f.choices, " ") + "'"
	case f.file:
		s += " -r -F"
	case f.placeholder != "":
		s += " -x"
	}
	return s
}

// quoteShell quotes a word for zsh and fish, whose rules agree on words
// without backslashes at the end of a quotation.
func quoteShell(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

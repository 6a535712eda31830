package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hako-runtime/hako/libct/timeline"
)

// logger is where messages go. The final error is one plain line on standard
// error; with --log also a record in the file, which engines read. Warnings
// and debug messages are records, in the file or else on standard error.
type logger struct {
	stderr  io.Writer
	file    *os.File // nil without --log
	json    bool
	debug   bool
	command string
	id      string // of the container; "" if the command has none
}

// open applies --log, --log-format and --debug.
func (l *logger) open(file, format string, debug bool) error {
	l.debug = debug
	switch format {
	case "text", "":
	case "json":
		l.json = true
	default:
		return fmt.Errorf("--log-format %q: must be text or json", format)
	}
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	l.file = f
	return nil
}

// close releases the log file.
func (l *logger) close() {
	if l.file != nil {
		l.file.Close() // every record is a write of its own; nothing is buffered
	}
}

// fail reports the error that ends a command.
func (l *logger) fail(err error) {
	msg := l.subject() + ": " + err.Error()
	if l.file != nil || l.json {
		l.record("error", msg)
	}
	if l.file != nil || !l.json {
		fmt.Fprintln(l.stderr, printable(msg))
	}
}

// printable escapes what a terminal could take for an order: an error quotes
// names and output of an image.
func printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n', r == '\t', strconv.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case r == utf8.RuneError: // also a byte that is no character
			b.WriteString(strings.Trim(strconv.Quote(s[i:i+1]), `"`))
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// subject is "hako create web".
func (l *logger) subject() string {
	s := "hako"
	if l.command != "" {
		s += " " + l.command
	}
	if l.id != "" {
		s += " " + quoteLogfmt(l.id) // whatever was typed: it may not have been checked yet
	}
	return s
}

// warn reports what does not end the command.
func (l *logger) warn(msg string) { l.record("warning", msg) }

// step reports a finished step, with --debug.
func (l *logger) step(s timeline.Span) {
	l.record("debug", s.Name+": "+time.Duration(s.Dur).String())
}

// record writes one log record.
func (l *logger) record(level, msg string) {
	line := textRecord
	if l.json {
		line = jsonRecord
	}
	out := l.stderr
	if l.file != nil {
		out = l.file
	}
	fmt.Fprint(out, line(time.Now(), level, msg)) // where could a failing log be reported?
}

// jsonRecord formats a record as engines expect it of runc.
func jsonRecord(now time.Time, level, msg string) string {
	b, _ := json.Marshal(struct { // cannot fail: strings only
		Level string    `json:"level"`
		Msg   string    `json:"msg"`
		Time  time.Time `json:"time"` // RFC 3339 with nanoseconds
	}{level, msg, now})
	return string(b) + "\n"
}

// textRecord formats a record in logfmt.
func textRecord(now time.Time, level, msg string) string {
	return `time="` + now.Format(time.RFC3339Nano) + `" level=` + level + " msg=" + quoteLogfmt(msg) + "\n"
}

// quoteLogfmt quotes a value that is more than a plain word.
func quoteLogfmt(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._/@^+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

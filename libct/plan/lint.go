package plan

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// linter walks a JSON text for what encoding/json tolerates and a config must
// not have. It leaves syntax to encoding/json: at the first byte that is not
// JSON it stops, silently.
type linter struct {
	data []byte
	pos  int
}

// document returns the place and the name of the first problem.
func (l *linter) document() (offset int, problem string) {
	type level struct {
		object bool
		keys   [][]byte            // while there are few
		many   map[string]struct{} // then
	}
	var stack []level
	key := false // the next string is a property name
	for l.pos < len(l.data) {
		start := l.pos
		c := l.data[l.pos]
		l.pos++
		switch c {
		case '{', '[':
			if len(stack) == maxNesting {
				return start, "nested deeper than " + strconv.Itoa(maxNesting) + " levels"
			}
			stack = append(stack, level{object: c == '{'})
			key = c == '{'
		case '}', ']':
			if len(stack) == 0 {
				return 0, ""
			}
			stack = stack[:len(stack)-1]
			key = false
		case ',':
			key = len(stack) > 0 && stack[len(stack)-1].object
		case '"':
			text, problem := l.text()
			if text == nil {
				return start, problem
			}
			if !key {
				break
			}
			key = false
			top := &stack[len(stack)-1]
			if addKey(&top.keys, &top.many, text) {
				return start, "duplicate property " + quote(string(text))
			}
		}
	}
	return 0, ""
}

// text reads the rest of a string and returns it without escapes; nil if the
// string is not JSON (then problem is empty) or has a NUL character.
func (l *linter) text() (text []byte, problem string) {
	start := l.pos
	escaped := false
	for l.pos < len(l.data) && l.data[l.pos] != '"' {
		if l.data[l.pos] != '\\' {
			l.pos++
			continue
		}
		escaped = true
		if bytes.HasPrefix(l.data[l.pos:], []byte(`\u0000`)) {
			return nil, "NUL character in a string"
		}
		l.pos += 2
	}
	if l.pos >= len(l.data) {
		return nil, ""
	}
	text = l.data[start:l.pos]
	l.pos++
	if escaped {
		var s string
		if json.Unmarshal(l.data[start-1:l.pos], &s) != nil {
			return nil, ""
		}
		return []byte(s), ""
	}
	return text, ""
}

// addKey reports whether text is among the keys already, and adds it.
func addKey(keys *[][]byte, many *map[string]struct{}, text []byte) (duplicate bool) {
	if *many != nil {
		if _, duplicate = (*many)[string(text)]; !duplicate {
			(*many)[string(text)] = struct{}{}
		}
		return duplicate
	}
	if slices.ContainsFunc(*keys, func(k []byte) bool { return bytes.Equal(k, text) }) {
		return true
	}
	*keys = append(*keys, text)
	if len(*keys) > 32 {
		*many = make(map[string]struct{}, 64)
		for _, k := range *keys {
			(*many)[string(k)] = struct{}{}
		}
	}
	return false
}

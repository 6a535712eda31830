package systemd

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Types of D-Bus that a number, or a string, can be of.
const (
	numbers = "ynqiuxtd"
	strs    = "sog"
)

// isNumber leaves out the underscores and the 0b and 0o that Go would take.
func isNumber(t string) bool {
	digits := strings.ToLower(strings.TrimLeft(t, "+-"))
	return len(t)-len(digits) <= 1 && digits != "" && (digits[0] >= '0' && digits[0] <= '9' || digits[0] == '.' || digits == "inf" || digits == "nan") &&
		!strings.Contains(t, "_") && !strings.HasPrefix(digits, "0o") && !strings.HasPrefix(digits, "0b")
}

// numberType is double for what no integer can be written like.
func numberType(t string) string {
	t = strings.ToLower(t)
	if !strings.Contains(t, "0x") && strings.ContainsAny(t, ".en") { // also "inf" and "nan"
		return "d"
	}
	return "#"
}

// next splits the first complete type from a pattern.
func next(pattern string) (first, rest string) {
	n := signatureLen(pattern)
	return pattern[:n], pattern[n:]
}

// unify returns the narrower of two patterns that do not contradict.
func unify(a, b string) (string, error) {
	switch {
	case a == b || b == "*":
		return a, nil
	case a == "*":
		return b, nil
	case a == "" || b == "":
	case a == "#" && len(b) == 1 && strings.Contains(numbers, b), a == "$" && len(b) == 1 && strings.Contains(strs, b):
		return b, nil
	case b == "#" && len(a) == 1 && strings.Contains(numbers, a), b == "$" && len(a) == 1 && strings.Contains(strs, a):
		return a, nil
	case a[0] == 'a' && b[0] == 'a':
		elem, err := unify(a[1:], b[1:])
		return "a" + elem, err
	case a[0] == b[0] && (a[0] == '(' || a[0] == '{'):
		inner, err := unifyAll(a[1:len(a)-1], b[1:len(b)-1])
		return a[:1] + inner + a[len(a)-1:], err
	}
	return "", fmt.Errorf("types differ: %s and %s", readable(a), readable(b))
}

func unifyAll(a, b string) (all string, err error) {
	for a != "" && b != "" {
		var firstA, firstB, one string
		firstA, a = next(a)
		firstB, b = next(b)
		if one, err = unify(firstA, firstB); err != nil {
			return "", err
		}
		all += one
	}
	if a != b {
		return "", errors.New("types differ in length")
	}
	return all, nil
}

// readable is for messages.
func readable(pattern string) string {
	return strings.NewReplacer("#", "number", "$", "string", "*", "anything").Replace(pattern)
}

// unify narrows the type of e by a signature.
func (e *expr) unify(sig string) (err error) {
	e.typ, err = unify(e.typ, sig)
	return err
}

// settled returns the signature of e: what is not said has a default.
func (e *expr) settled() (string, error) {
	sig := strings.NewReplacer("#", "i", "$", "s").Replace(e.typ)
	if strings.Contains(sig, "*") {
		return "", errors.New("the type of an empty array is not known: write @as []")
	}
	if !isType(sig) {
		return "", fmt.Errorf("D-Bus has no type %s", sig)
	}
	return sig, nil
}

// isType tells whether sig is one complete type.
func isType(sig string) bool {
	_, err := dbus.ParseSignature(sig)
	return err == nil && sig != "" && signatureLen(sig) == len(sig)
}

// variant makes what can be sent of an expression.
func variant(e expr, sig string) (dbus.Variant, error) {
	v := reflect.New(goType(sig)).Elem()
	if err := e.store(v, sig); err != nil {
		return dbus.Variant{}, err
	}
	parsed, err := dbus.ParseSignature(sig)
	return dbus.MakeVariantWithSignature(v.Interface(), parsed), err
}

// goType is the type of which values are sent as sig, a settled signature.
func goType(sig string) reflect.Type {
	switch sig[0] {
	case 'b':
		return reflect.TypeFor[bool]()
	case 'y':
		return reflect.TypeFor[byte]()
	case 'n':
		return reflect.TypeFor[int16]()
	case 'q':
		return reflect.TypeFor[uint16]()
	case 'i':
		return reflect.TypeFor[int32]()
	case 'u':
		return reflect.TypeFor[uint32]()
	case 'x':
		return reflect.TypeFor[int64]()
	case 't':
		return reflect.TypeFor[uint64]()
	case 'd':
		return reflect.TypeFor[float64]()
	case 's':
		return reflect.TypeFor[string]()
	case 'o':
		return reflect.TypeFor[dbus.ObjectPath]()
	case 'g':
		return reflect.TypeFor[dbus.Signature]()
	case 'v':
		return reflect.TypeFor[dbus.Variant]()
	case 'a':
		if sig[1] == '{' {
			key, value := next(sig[2 : len(sig)-1])
			return reflect.MapOf(goType(key), goType(value))
		}
		return reflect.SliceOf(goType(sig[1:]))
	}
	var fields []reflect.StructField // sig[0] is '('
	for rest := sig[1 : len(sig)-1]; rest != ""; {
		var first string
		first, rest = next(rest)
		fields = append(fields, reflect.StructField{Name: "F" + strconv.Itoa(len(fields)), Type: goType(first)})
	}
	return reflect.StructOf(fields)
}

// store sets v, of the type that goType has for sig.
func (e *expr) store(v reflect.Value, sig string) error {
	switch sig[0] {
	case 'b':
		v.SetBool(e.text == "true")
	case 's', 'o', 'g':
		return e.storeString(v)
	case 'v':
		inner := &e.elems[0]
		innerSig, err := inner.settled()
		if err != nil {
			return err
		}
		boxed, err := variant(*inner, innerSig)
		v.Set(reflect.ValueOf(boxed))
		return err
	case 'a':
		return e.storeArray(v, sig)
	case '(':
		rest := sig[1 : len(sig)-1]
		for i := range e.elems {
			var first string
			first, rest = next(rest)
			if err := e.elems[i].store(v.Field(i), first); err != nil {
				return err
			}
		}
	default:
		return e.storeNumber(v, sig)
	}
	return nil
}

func (e *expr) storeArray(v reflect.Value, sig string) error {
	switch {
	case sig[1] == '{':
		v.Set(reflect.MakeMap(v.Type()))
		keySig, valueSig := next(sig[2 : len(sig)-1])
		for i := 0; i < len(e.elems); i += 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			if err := errors.Join(e.elems[i].store(key, keySig), e.elems[i+1].store(value, valueSig)); err != nil {
				return err
			}
			if v.MapIndex(key).IsValid() {
				return fmt.Errorf("the key %q is there twice", e.elems[i].text)
			}
			v.SetMapIndex(key, value)
		}
	case sig == "ay" && e.elems == nil && e.text != "": // b'…'
		v.SetBytes([]byte(e.text))
	default:
		v.Set(reflect.MakeSlice(v.Type(), len(e.elems), len(e.elems)))
		for i := range e.elems {
			if err := e.elems[i].store(v.Index(i), sig[1:]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *expr) storeString(v reflect.Value) error {
	switch v.Interface().(type) {
	case dbus.ObjectPath:
		if !dbus.ObjectPath(e.text).IsValid() {
			return fmt.Errorf("%q is not an object path", e.text)
		}
		v.SetString(e.text)
	case dbus.Signature:
		parsed, err := dbus.ParseSignature(e.text)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(parsed))
	default:
		v.SetString(e.text)
	}
	return nil
}

func (e *expr) storeNumber(v reflect.Value, sig string) error {
	var err error
	switch sig[0] {
	case 'd':
		var f float64
		f, err = strconv.ParseFloat(e.text, 64)
		if errors.Is(err, strconv.ErrSyntax) { // an octal number, or a hexadecimal one without exponent
			var n int64
			n, err = strconv.ParseInt(e.text, 0, 64)
			f = float64(n)
		}
		if math.IsInf(f, 0) && err == nil && !strings.Contains(strings.ToLower(e.text), "inf") {
			err = strconv.ErrRange
		}
		v.SetFloat(f)
	case 'n', 'i', 'x':
		var n int64
		n, err = strconv.ParseInt(e.text, 0, v.Type().Bits())
		v.SetInt(n)
	default:
		var n uint64
		n, err = strconv.ParseUint(strings.TrimPrefix(e.text, "+"), 0, v.Type().Bits())
		v.SetUint(n)
	}
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%s is out of range for the type %s", e.text, v.Type())
	}
	if err != nil {
		return fmt.Errorf("%.40q is not a number of type %s", e.text, v.Type())
	}
	return nil
}

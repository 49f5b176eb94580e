package registry

import "reflect"

// clone copies a config with all that it points to. Decoders write into the slices and
// maps that they find, so that a shallow copy would let one document change the defaults
// of the next.
func clone[C any](config C) C {
	out := config
	deepen(reflect.ValueOf(&out).Elem())
	return out
}

// deepen replaces what v shares with its original; unexported fields stay shared.
func deepen(v reflect.Value) {
	if !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			deepen(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			deepen(v.Index(i))
		}
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			v.Set(copyOf(v))
		}
	}
}

// copyOf copies a slice, map, pointer or interface that is not nil.
func copyOf(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Slice:
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(v.Index(i))
			deepen(out.Index(i))
		}
		return out
	case reflect.Map:
		out := reflect.MakeMapWithSize(v.Type(), v.Len())
		for pairs := v.MapRange(); pairs.Next(); {
			out.SetMapIndex(pairs.Key(), fresh(pairs.Value()))
		}
		return out
	case reflect.Interface:
		return fresh(v.Elem())
	default:
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(v.Elem())
		deepen(out.Elem())
		return out
	}
}

// fresh copies a value that cannot be set where it is.
func fresh(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	deepen(out)
	return out
}

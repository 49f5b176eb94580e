package main

import (
	"flag"
	"strings"
)

// tolerate leaves out the flags that the launcher of a Flex Template adds and this binary
// does not know: a newer service must not break an older image. A person's misspelt flag
// stays an error, so this holds only where a launcher says that it is one.
func tolerate(args []string, flags *flag.FlagSet) (known, unknown []string) {
	launched := false
	for _, arg := range args {
		name, _ := cut(arg)
		launched = launched || name == "template_location"
	}
	if !launched {
		return args, nil
	}
	for i := 0; i < len(args); i++ {
		name, isFlag := cut(args[i])
		switch {
		case !isFlag || flags.Lookup(name) != nil:
			known = append(known, args[i])
			continue
		case !strings.Contains(args[i], "=") && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
			i++ // its value
		}
		unknown = append(unknown, name)
	}
	return known, unknown
}

func cut(arg string) (name string, isFlag bool) {
	arg, isFlag = strings.CutPrefix(arg, "-")
	if !isFlag || arg == "" || arg == "-" {
		return "", false
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(arg, "-"), "=")
	return name, true
}

// runnerName is the name that we give a runner: launchers say DataflowRunner.
func runnerName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "Runner"))
}

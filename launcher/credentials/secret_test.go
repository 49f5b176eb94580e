package credentials_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/launcher/credentials"
)

const canary = "sk-canary-7f3a9c"

type holder struct {
	Public credentials.Secret
	hidden credentials.Secret
	inner  struct{ deep credentials.Secret }
}

func TestSecretPrintsRedactedWhateverPrintsIt(t *testing.T) {
	s := credentials.NewSecret(canary)
	h := holder{Public: s, hidden: s}
	h.inner.deep = s
	var out bytes.Buffer
	for _, v := range []any{s, &s, h, &h, []credentials.Secret{s}, map[string]credentials.Secret{"k": s}, map[credentials.Secret]int{s: 1}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%c"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		if b, err := yaml.Marshal(v); err == nil {
			out.Write(b)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
	}
	fmt.Fprintln(&out, errors.Join(fmt.Errorf("call with %v: %w", s, errors.New("x"))), s.String(), s.GoString())
	text := out.String()
	for _, leak := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(text, leak) {
			t.Fatalf("the secret is printed as %q", leak)
		}
	}
	if !strings.Contains(text, "[redacted]") {
		t.Fatal("nothing says that something was left out")
	}
	if s.Reveal() != canary || (credentials.Secret{}).Reveal() != "" {
		t.Error("Reveal is not what was put in")
	}
}

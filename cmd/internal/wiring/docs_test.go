package wiring_test

import (
	"os"
	"strings"
	"testing"

	"github.com/cloudact/convergence/cmd/internal/wiring"
)

func TestEverySettingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/service.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range wiring.Settings() {
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		if row := "| `" + s.Name + "` | " + value + " | " + s.Help; !strings.Contains(string(text), row) {
			t.Errorf("docs/service.md lacks %s", row)
		}
	}
}

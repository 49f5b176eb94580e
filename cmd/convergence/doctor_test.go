package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// examined runs doctor with an environment that names a warehouse which does not answer.
func examined(t *testing.T, dir string, environ ...string) (code int, found map[string]symptom, text string) {
	t.Helper()
	environ = append([]string{
		"GCP_PROJECT_ID=p", "CONVERGENCE_BIGQUERY_ENDPOINT=http://127.0.0.1:9", "CONVERGENCE_KMS_ENDPOINT=127.0.0.1:9", "CONVERGENCE_DATA_DIR=" + dir,
	}, environ...)
	var out, problems bytes.Buffer
	code = execute(t.Context(), []string{"doctor", "--output", "json", "--data-dir", dir}, environ, &out, &problems)
	var all diagnosis
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatalf("%v in %s%s", err, out.String(), problems.String())
	}
	found = map[string]symptom{}
	for _, f := range all {
		found[f.Name] = f
		if f.Verdict != pass && f.Do == "" {
			t.Errorf("%s: nothing to do about %s", f.Name, f.Found)
		}
	}
	return code, found, out.String() + problems.String()
}

func TestDoctorNamesWrongSettingsAndNoSecret(t *testing.T) {
	code, found, text := examined(t, t.TempDir(), "LOG_LEVEL=LOUD", "CA_ROOT_API_KEY=ca_root_canary", "CONVERGENCE_DATADIR=x", "API_PORT=9000")
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	for name, verdict := range map[string]string{"LOG_LEVEL": fail, "CONVERGENCE_DATADIR": fail, "CA_ROOT_API_KEY": pass, "API_PORT": pass, "ENVIRONMENT": pass} {
		if found[name].Verdict != verdict {
			t.Errorf("%s: %+v, want %s", name, found[name], verdict)
		}
	}
	if strings.Contains(text, "canary") {
		t.Error("the root key is shown")
	}
}

func TestDoctorSaysWhatDoesNotAnswerAndWhatIsOpen(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, keysFile)
	if err := os.WriteFile(keys, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(keys, 0o644); err != nil { // whatever the umask of the tests before
		t.Fatal(err)
	}
	code, found, _ := examined(t, dir)
	if code != exitFailed || found["BigQuery at http://127.0.0.1:9"].Verdict != fail || found[keys].Verdict != fail {
		t.Errorf("exit code %d, %+v", code, found)
	}
	if found["serve"].Verdict != warn || found["pipelines and schemas"].Verdict != pass {
		t.Errorf("%+v", found)
	}
	if _, production, _ := examined(t, dir, "ENVIRONMENT=production"); production["serve"].Verdict != fail {
		t.Errorf("in production: %+v", production["serve"])
	}
}

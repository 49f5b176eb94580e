package service

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/faults"
	"github.com/cloudact/convergence/testing/lab"
	"github.com/cloudact/convergence/testing/mailserver"
)

// telling is the rest of a document whose runs are told of in both ways.
const telling = `  - step_id: mail
    ps_type: notify_systems.email_notification
    trigger: %[1]s
    to_emails: ["{admin_email}"]
  - step_id: slack
    ps_type: notify_systems.slack_notification
    trigger: %[1]s
`

// desk is a mail server and a Slack webhook.
type desk struct {
	mail    *mailserver.Server
	slack   *httptest.Server
	environ []string

	mu    sync.Mutex
	posts []string
}

func newDesk(t *testing.T, dir string) *desk {
	t.Helper()
	d := &desk{mail: mailserver.New(t)}
	d.slack = httptest.NewServer(d)
	t.Cleanup(d.slack.Close)
	roots := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(roots, d.mail.Certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	d.environ = []string{
		"EMAIL_SMTP_HOST=127.0.0.1", fmt.Sprintf("EMAIL_SMTP_PORT=%d", d.mail.Port), "EMAIL_SMTP_USERNAME=mailer", "EMAIL_SMTP_PASSWORD=" + mailserver.Password,
		"EMAIL_FROM_ADDRESS=etl@example.com", "SLACK_WEBHOOK_URL=" + d.slack.URL + "/services/T0/B0/hook", "SSL_CERT_FILE=" + roots,
	}
	return d
}

// ServeHTTP is the webhook.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var post any
	if err := json.NewDecoder(r.Body).Decode(&post); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.posts = append(d.posts, strings.ReplaceAll(fmt.Sprint(post), "@\u2060", "@"))
	_, _ = io.WriteString(w, "ok") // a caller that was killed needs no answer
}

// told returns the mails and the posts that name a run.
func (d *desk) told(t *testing.T, id string) (mails []mailserver.Letter, posts []string) {
	t.Helper()
	for _, l := range d.mail.All() {
		if plain, _ := l.Parts(t); strings.Contains(plain, id) {
			mails = append(mails, l)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.posts {
		if strings.Contains(p, id) {
			posts = append(posts, p)
		}
	}
	return mails, posts
}

// once wants a run to have been told of once in each way, with all of the reasons.
func (d *desk) once(t *testing.T, what string, run client.Run, reasons ...string) {
	t.Helper()
	mails, posts := d.told(t, run.ID)
	if len(mails) != 1 || len(posts) != 1 {
		t.Errorf("%s: %d mails and %d posts tell of the run", what, len(mails), len(posts))
		return
	}
	if to := strings.Join(mails[0].To, " "); to != "admin@"+run.Org+".example" || !mails[0].Encrypted || mails[0].User != "mailer" {
		t.Errorf("%s: the mail went to %s as %q, encrypted %t", what, to, mails[0].User, mails[0].Encrypted)
	}
	plain, html := mails[0].Parts(t)
	for _, reason := range append(reasons, string(run.Status), run.PipelineID) {
		if !strings.Contains(plain, reason) || !strings.Contains(posts[0], reason) {
			t.Errorf("%s: %q is missing in\n%s\nor\n%s", what, reason, plain, posts[0])
		}
	}
	if !strings.Contains(html, run.ID) {
		t.Errorf("%s: the HTML is %s", what, html)
	}
}

// settled waits until all that follows the end of a run has been done.
func (w *world) settled(id string) {
	w.T.Helper()
	lab.Eventually(w.T, "run "+id+" is settled", func() bool {
		return len(w.Lines(w.T, "SELECT 1 FROM organizations.org_meta_run_events WHERE kind = 'settled' AND run_id = '"+id+"' LIMIT 1")) == 1
	})
}

// teller adds a pipeline that tells. Its provider is at url.
func (w *world) teller(name, url, trigger, settings string) client.Pipeline {
	text := strings.Replace(strings.ReplaceAll(document, "$API", url), "pipeline_id: rows", "pipeline_id: "+name+"\n"+settings, 1)
	w.write("my-api/usage/"+name+".yml", text+fmt.Sprintf(telling, trigger))
	return client.Pipeline{Provider: "my-api", Domain: "usage", Name: name}
}

// TestEveryEndOfARunIsToldOnce ends runs in all ways and reads the mails and the posts.
func TestEveryEndOfARunIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme", "globex")
	d := newDesk(t, w.Dir)
	good := httptest.NewServer(w.provider)
	bad := httptest.NewServer(http.NotFoundHandler())
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	for _, s := range []*httptest.Server{good, bad, slow} {
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	}
	works := w.teller("works", good.URL, "on_success", "")
	quiet := w.teller("quiet", bad.URL, "on_success", "")
	fails := w.teller("fails", bad.URL, "on_failure", "")
	late := w.teller("late", slow.URL, "on_failure", "timeout_seconds: 10")
	stops := w.teller("stops", slow.URL, "on_completion", "")
	dies := w.teller("dies", slow.URL, "always", "")
	w.write("orgs/globex/notifications.json", `{"enabled": false}`)
	data := w.fresh()
	s := w.serve(data, d.environ...)
	start := func(org string, p client.Pipeline) string {
		started, err := s.as(org).Run(t.Context(), org, p, day(0))
		if err != nil {
			t.Fatal(err)
		}
		return started.ID
	}
	end := func(org, id string, status client.Status) client.Run {
		run := s.wait(org, id)
		if run.Status != status {
			t.Errorf("%s ended %s: %s: %s", run.PipelineID, run.Status, run.Code, run.Error)
		}
		w.settled(id)
		return run
	}
	ids := map[client.Pipeline]string{}
	for _, p := range []client.Pipeline{works, quiet, fails, late, stops, dies} {
		ids[p] = start("acme", p)
	}
	unheard := start("globex", fails)
	for _, p := range []client.Pipeline{stops, dies} {
		lab.Eventually(t, p.Name+" works", func() bool {
			run, err := s.as("acme").Get(t.Context(), ids[p])
			return err == nil && run.Status == client.Running
		})
	}
	if _, err := s.as("acme").Cancel(t.Context(), ids[stops], false); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(jobOf(t, data, ids[dies]), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.once(t, "a run that worked", end("acme", ids[works], client.Completed))
	failed := end("acme", ids[fails], client.Failed)
	d.once(t, "a run that failed", failed, failed.Error, "404")
	timedOut := end("acme", ids[late], client.Timeout)
	d.once(t, "a run that timed out", timedOut, timedOut.Error)
	d.once(t, "a run that was cancelled", end("acme", ids[stops], client.Cancelled))
	killed := end("acme", ids[dies], client.Failed)
	d.once(t, "a run that was killed", killed, killed.Error)
	// The service's own webhook tells of failures that no hook tells of.
	if mails, posts := d.told(t, end("acme", ids[quiet], client.Failed).ID); len(mails) != 0 || len(posts) != 1 {
		t.Errorf("hooks of another trigger: %d mails, %d posts", len(mails), len(posts))
	}
	if mails, posts := d.told(t, end("globex", unheard, client.Failed).ID); len(mails)+len(posts) != 0 {
		t.Errorf("settings that switch it off: %d mails, %d posts", len(mails), len(posts))
	}
	for _, run := range []client.Run{failed, timedOut, killed} {
		if run.Error == "" {
			t.Errorf("%s ended %s without a reason", run.PipelineID, run.Status)
		}
	}
	s.Stop()
	if strings.Contains(s.Stderr.String(), mailserver.Password) {
		t.Error("the log holds the password of the mail server")
	}
}

// TestATellerThatIsKilledIsFollowedByAnother kills the service when it has been chosen to
// tell of a run and has told nobody.
func TestATellerThatIsKilledIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(2, "acme")
	d := newDesk(t, w.Dir)
	bad := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(bad.Close)
	fails := w.teller("fails", bad.URL, "on_failure", "")
	data := w.fresh()
	s := w.serve(data, d.environ...)
	w.plan.Set(faults.Rule{Op: tell, When: faults.After, Nth: 1, Do: faults.Kill(s.Kill)})
	started, err := s.as("acme").Run(t.Context(), "acme", fails, day(0))
	if err != nil {
		t.Fatal(err)
	}
	<-s.Ended
	w.plan.Set()
	if mails, posts := d.told(t, started.ID); len(mails)+len(posts) != 0 {
		t.Fatalf("%d mails and %d posts were sent before the service was killed", len(mails), len(posts))
	}
	again := w.serve(data, d.environ...)
	run := again.wait("acme", started.ID)
	w.settled(started.ID)
	d.once(t, "a run whose teller was killed", run, "404")
}

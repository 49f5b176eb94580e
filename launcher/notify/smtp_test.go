package notify_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const mailPassword = "mail-canary-31c9"

// mailServer is a small SMTP server (RFC 5321) with STARTTLS and AUTH PLAIN, which it
// demands before it takes a mail.
type mailServer struct {
	port   int
	roots  *x509.CertPool
	config *tls.Config

	mu       sync.Mutex
	mails    []letter
	refusal  string
	refusals int
}

type letter struct {
	from      string
	to        []string
	user      string
	encrypted bool
	message   *mail.Message
	body      string
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{roots: x509.NewCertPool(), config: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}}
	s.roots.AddCert(cert)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return s
}

func (s *mailServer) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReader(conn)
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	var l letter
	say("220 mail.test ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO":
			if l.encrypted {
				say("250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN")
			} else {
				say("250-mail.test\r\n250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go ahead")
			secured := tls.Server(conn, s.config)
			if secured.Handshake() != nil {
				return
			}
			conn, r, l.encrypted = secured, bufio.NewReader(secured), true
		case "AUTH":
			_, token, _ := strings.Cut(rest, " ")
			raw, _ := base64.StdEncoding.DecodeString(token)
			parts := strings.Split(string(raw), "\x00")
			if !l.encrypted || len(parts) != 3 || parts[2] != mailPassword {
				say("535 authentication failed")
				continue
			}
			l.user = parts[1]
			say("235 welcome")
		case "MAIL":
			if refusal := s.takeRefusal(); refusal != "" {
				say(refusal)
				continue
			}
			l.from = address(rest)
			say("250 ok")
		case "RCPT":
			l.to = append(l.to, address(rest))
			say("250 ok")
		case "DATA":
			say("354 go on")
			text, err := io.ReadAll(textproto.NewReader(r).DotReader())
			if err != nil {
				return
			}
			if l.message, err = mail.ReadMessage(strings.NewReader(string(text))); err != nil || l.user == "" {
				say("554 not like this")
				continue
			}
			body, _ := io.ReadAll(l.message.Body)
			l.body = string(body)
			s.mu.Lock()
			s.mails = append(s.mails, l)
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func address(rest string) string {
	_, text, _ := strings.Cut(rest, "<")
	text, _, _ = strings.Cut(text, ">")
	return text
}

// refuse answers the next mails with a line.
func (s *mailServer) refuse(line string, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal, s.refusals = line, times
}

func (s *mailServer) takeRefusal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals == 0 {
		return ""
	}
	s.refusals--
	return s.refusal
}

func (s *mailServer) all() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

func (s *mailServer) count() int { return len(s.all()) }

func (s *mailServer) one(t *testing.T) letter {
	t.Helper()
	all := s.all()
	if len(all) != 1 {
		t.Fatalf("%d mails, want 1", len(all))
	}
	return all[0]
}

// recipients are the names of all who got a mail, sorted.
func (s *mailServer) recipients() string {
	var names []string
	for _, l := range s.all() {
		for _, to := range l.to {
			name, _, _ := strings.Cut(to, "@")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (l letter) header(name string) string {
	text, err := new(mime.WordDecoder).DecodeHeader(l.message.Header.Get(name))
	if err != nil {
		return l.message.Header.Get(name)
	}
	return text
}

// parts returns the plain and the HTML part.
func (l letter) parts(t *testing.T) (plain, html string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(l.message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q, %v", kind, err)
	}
	r := multipart.NewReader(strings.NewReader(l.body), params["boundary"])
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return plain, html
		}
		if err != nil {
			t.Fatal(err)
		}
		var from io.Reader = part
		if part.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			from = quotedprintable.NewReader(part)
		}
		text, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			html = string(text)
		} else {
			plain = string(text)
		}
	}
}

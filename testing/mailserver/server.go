// Package mailserver is a small SMTP server that keeps what it gets, for tests of whoever
// sends mails. It must not know what the mails are about.
package mailserver

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
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

// Password is what AUTH PLAIN must show; the name may be any.
const Password = "mail-canary-31c9"

// Server is a small SMTP server (RFC 5321) on the loopback interface with STARTTLS and
// AUTH PLAIN, which it demands before it takes a mail.
type Server struct {
	Port        int
	Certificate []byte         // PEM; it signs itself
	Roots       *x509.CertPool // that hold the certificate

	config *tls.Config

	mu       sync.Mutex
	mails    []Letter
	refusal  string
	refusals int
}

// Letter is a mail that was taken.
type Letter struct {
	From      string
	To        []string
	User      string // that authenticated
	Encrypted bool
	Message   *mail.Message // its body has been read: see Body
	Body      string
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
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
	s := &Server{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Roots: x509.NewCertPool(), config: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}}
	s.Roots.AddCert(cert)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = listener.Addr().(*net.TCPAddr).Port
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

func (s *Server) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	r := bufio.NewReader(conn)
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	var l Letter
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
			say(map[bool]string{false: "250-mail.test\r\n250 STARTTLS", true: "250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN"}[l.Encrypted])
		case "STARTTLS":
			say("220 go ahead")
			secured := tls.Server(conn, s.config)
			if secured.Handshake() != nil {
				return
			}
			conn, r, l.Encrypted = secured, bufio.NewReader(secured), true
		case "AUTH":
			if l.User = userOf(rest); !l.Encrypted || l.User == "" {
				say("535 authentication failed")
				continue
			}
			say("235 welcome")
		case "MAIL":
			if refusal := s.takeRefusal(); refusal != "" {
				say(refusal)
				continue
			}
			l.From = address(rest)
			say("250 ok")
		case "RCPT":
			l.To = append(l.To, address(rest))
			say("250 ok")
		case "DATA":
			say("354 go on")
			answer, err := s.take(r, l)
			if err != nil {
				return
			}
			say(answer)
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// take reads the text of a letter, keeps it, and says what to answer; an error means that
// the connection is gone.
func (s *Server) take(r *bufio.Reader, l Letter) (answer string, err error) {
	text, err := io.ReadAll(textproto.NewReader(r).DotReader())
	if err != nil {
		return "", err
	}
	message, err := mail.ReadMessage(strings.NewReader(string(text)))
	if err != nil || l.User == "" {
		return "554 not like this", nil
	}
	body, err := io.ReadAll(message.Body)
	if err != nil {
		return "554 not like this", nil
	}
	l.Message, l.Body = message, string(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, l)
	return "250 taken", nil
}

// userOf reads AUTH PLAIN; "" is somebody who does not know the password.
func userOf(rest string) string {
	_, token, _ := strings.Cut(rest, " ")
	raw, _ := base64.StdEncoding.DecodeString(token)
	parts := strings.Split(string(raw), "\x00")
	if len(parts) != 3 || parts[2] != Password {
		return ""
	}
	return parts[1]
}

func address(rest string) string {
	_, text, _ := strings.Cut(rest, "<")
	text, _, _ = strings.Cut(text, ">")
	return text
}

// Refuse answers the next mails with a line.
func (s *Server) Refuse(line string, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal, s.refusals = line, times
}

func (s *Server) takeRefusal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals == 0 {
		return ""
	}
	s.refusals--
	return s.refusal
}

// All returns the mails that were taken, in order.
func (s *Server) All() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Count returns how many mails were taken.
func (s *Server) Count() int { return len(s.All()) }

// Recipients are the names of all who got a mail, sorted.
func (s *Server) Recipients() string {
	var names []string
	for _, l := range s.All() {
		for _, to := range l.To {
			name, _, _ := strings.Cut(to, "@")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// Header returns a header as people read it.
func (l Letter) Header(name string) string {
	text, err := new(mime.WordDecoder).DecodeHeader(l.Message.Header.Get(name))
	if err != nil {
		return l.Message.Header.Get(name)
	}
	return text
}

// Parts returns the plain and the HTML part.
func (l Letter) Parts(t testing.TB) (plain, html string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(l.Message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q, %v", kind, err)
	}
	r := multipart.NewReader(strings.NewReader(l.Body), params["boundary"])
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

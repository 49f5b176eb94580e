package source

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// Guard says which addresses requests may reach. The zero value is strict: https only,
// and only public addresses, checked when the connection is dialled, after DNS.
type Guard struct {
	// AllowLoopback permits loopback addresses and, to them alone, plain http. For
	// development and tests.
	AllowLoopback bool
}

// checkURL refuses a URL that must not be requested; the message names no query.
func (g Guard) checkURL(u *url.URL) error {
	switch {
	case u.User != nil:
		return failf(codeBlocked, "the URL of %s carries user information: use auth instead", u.Hostname())
	case u.Hostname() == "":
		return failf(codeBlocked, "a URL needs a host")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && g.AllowLoopback && isLoopbackName(u.Hostname()):
		return nil
	default:
		return failf(codeBlocked, "%s://%s is refused: only https is allowed", u.Scheme, u.Host)
	}
}

func isLoopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// control is a net.Dialer.Control: it sees the address that DNS gave.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return failf(codeBlocked, "address %s cannot be read", address)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return failf(codeBlocked, "address %s cannot be read", address)
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() && g.AllowLoopback {
		return nil
	}
	if !isPublic(addr) {
		return failf(codeBlocked, "%s is not a public address", addr)
	}
	return nil
}

// notPublic are ranges that net/netip does not classify: this network, shared address
// space, protocol assignments, documentation, benchmarking, reserved, and the prefixes
// that embed IPv4 addresses.
var notPublic = parsePrefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10",
)

func parsePrefixes(texts ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		prefixes[i] = netip.MustParsePrefix(text)
	}
	return prefixes
}

func isPublic(addr netip.Addr) bool {
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return false
	}
	for _, prefix := range notPublic {
		if prefix.Contains(addr) {
			return false
		}
	}
	return true
}

const maxRedirects = 5

// redirect is an http.Client.CheckRedirect: same scheme, host and port, or nothing.
func (g Guard) redirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxRedirects {
		return failf(codeRedirect, "%s redirects more than %d times", first.Host, maxRedirects)
	}
	if origin(next.URL) != origin(first) {
		return failf(codeRedirect, "%s redirects to %s: redirects must stay on the origin", origin(first), origin(next.URL))
	}
	return g.checkURL(next.URL)
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return fmt.Sprintf("%s://%s", u.Scheme, net.JoinHostPort(strings.ToLower(u.Hostname()), port))
}

package kms

import (
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	projectPattern  = `projects/[a-z0-9][a-z0-9:.-]{0,98}`
	idPattern       = `[a-zA-Z0-9_-]{1,63}`
	locationPattern = regexp.MustCompile(`^` + projectPattern + `/locations/[a-z0-9-]{1,63}$`)
	idRE            = regexp.MustCompile(`^` + idPattern + `$`)
	ringRE          = regexp.MustCompile(`^` + projectPattern + `/locations/[a-z0-9-]{1,63}/keyRings/` + idPattern + `$`)
	keyRE           = regexp.MustCompile(`^(` + projectPattern + `/locations/[a-z0-9-]{1,63}/keyRings/` + idPattern + `)/cryptoKeys/` + idPattern + `$`)
)

const versionsPart = "/cryptoKeyVersions/"

// keyName is a validated crypto key name and the name of the key ring in it.
type keyName struct{ ring, key string }

func parseLocation(name string) error {
	if !locationPattern.MatchString(name) {
		return invalidName("location", name)
	}
	return nil
}

func parseRing(name string) error {
	if !ringRE.MatchString(name) {
		return invalidName("KeyRing", name)
	}
	return nil
}

func parseKey(name string) (keyName, error) {
	m := keyRE.FindStringSubmatch(name)
	if m == nil {
		return keyName{}, invalidName("CryptoKey", name)
	}
	return keyName{ring: m[1], key: name}, nil
}

// parseVersion splits a crypto key version name into the key's name and the version number, which counts from 1.
func parseVersion(name string) (keyName, int, error) {
	k, v, ok := strings.Cut(name, versionsPart)
	n, err := strconv.Atoi(v)
	if !ok || err != nil || n < 1 || strconv.Itoa(n) != v {
		return keyName{}, 0, invalidName("CryptoKeyVersion", name)
	}
	kn, err := parseKey(k)
	if err != nil {
		return keyName{}, 0, invalidName("CryptoKeyVersion", name)
	}
	return kn, n, nil
}

func parseID(field, id string) error {
	if !idRE.MatchString(id) {
		return status.Errorf(codes.InvalidArgument, "Invalid %s %q: it must match %s.", field, id, idRE)
	}
	return nil
}

func versionName(key string, n int) string {
	return key + versionsPart + strconv.Itoa(n)
}

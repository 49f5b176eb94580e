package kms

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	minDestroyAfter = 24 * time.Hour
	maxDestroyAfter = 120 * 24 * time.Hour

	defaultPageSize = 100
	maxPageSize     = 1000
)

// CreateKeyRing creates an empty key ring; ALREADY_EXISTS if there is one of that name.
func (s *Server) CreateKeyRing(_ context.Context, req *kmspb.CreateKeyRingRequest) (*kmspb.KeyRing, error) {
	if err := parseLocation(req.GetParent()); err != nil {
		return nil, err
	}
	if err := parseID("key_ring_id", req.GetKeyRingId()); err != nil {
		return nil, err
	}
	name := req.GetParent() + "/keyRings/" + req.GetKeyRingId()
	created := s.now().UTC()
	err := s.update(func(st *state) error {
		if _, ok := st.KeyRings[name]; ok {
			return alreadyExists("KeyRing", name)
		}
		st.KeyRings[name] = keyRing{Created: created}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kmspb.KeyRing{Name: name, CreateTime: timestamppb.New(created)}, nil
}

// GetKeyRing returns a key ring; NOT_FOUND if there is none of that name.
func (s *Server) GetKeyRing(_ context.Context, req *kmspb.GetKeyRingRequest) (*kmspb.KeyRing, error) {
	if err := parseRing(req.GetName()); err != nil {
		return nil, err
	}
	ring, ok := s.view().KeyRings[req.GetName()]
	if !ok {
		return nil, notFound("KeyRing", req.GetName())
	}
	return &kmspb.KeyRing{Name: req.GetName(), CreateTime: timestamppb.New(ring.Created)}, nil
}

// CreateCryptoKey creates a key with a first version, which is its primary one, unless the request skips it.
func (s *Server) CreateCryptoKey(_ context.Context, req *kmspb.CreateCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	if err := parseRing(req.GetParent()); err != nil {
		return nil, err
	}
	if err := parseID("crypto_key_id", req.GetCryptoKeyId()); err != nil {
		return nil, err
	}
	if err := checkKey(req.GetCryptoKey()); err != nil {
		return nil, err
	}
	k := key{Created: s.now().UTC(), Labels: maps.Clone(req.GetCryptoKey().GetLabels()), DestroyAfter: defaultDestroyAfter}
	if d := req.GetCryptoKey().GetDestroyScheduledDuration(); d != nil {
		k.DestroyAfter = d.AsDuration()
	}
	if !req.GetSkipInitialVersionCreation() {
		k.Versions, k.Primary = []version{newVersion(s.now())}, 1
	}
	name := req.GetParent() + "/cryptoKeys/" + req.GetCryptoKeyId()
	err := s.update(func(st *state) error {
		if _, ok := st.KeyRings[req.GetParent()]; !ok {
			return notFound("KeyRing", req.GetParent())
		}
		if _, ok := st.Keys[name]; ok {
			return alreadyExists("CryptoKey", name)
		}
		st.Keys[name] = k
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.keyProto(name, k), nil
}

// checkKey refuses the settings of a new key that this server would otherwise ignore.
func checkKey(k *kmspb.CryptoKey) error {
	switch k.GetPurpose() {
	case kmspb.CryptoKey_ENCRYPT_DECRYPT:
	case kmspb.CryptoKey_CRYPTO_KEY_PURPOSE_UNSPECIFIED:
		return status.Error(codes.InvalidArgument, "The field crypto_key.purpose is required.")
	default:
		return unsupported("CryptoKey purpose " + k.GetPurpose().String())
	}
	tmpl := k.GetVersionTemplate()
	switch a := tmpl.GetAlgorithm(); a {
	case kmspb.CryptoKeyVersion_CRYPTO_KEY_VERSION_ALGORITHM_UNSPECIFIED, kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION:
	default:
		return unsupported("CryptoKeyVersion algorithm " + a.String())
	}
	switch l := tmpl.GetProtectionLevel(); l {
	case kmspb.ProtectionLevel_PROTECTION_LEVEL_UNSPECIFIED, kmspb.ProtectionLevel_SOFTWARE:
	default:
		return unsupported("ProtectionLevel " + l.String())
	}
	switch {
	case k.GetNextRotationTime() != nil || k.GetRotationSchedule() != nil:
		return unsupported("Automatic rotation (crypto_key.rotation_period, next_rotation_time)")
	case k.GetImportOnly():
		return unsupported("crypto_key.import_only")
	case k.GetCryptoKeyBackend() != "":
		return unsupported("crypto_key.crypto_key_backend")
	case k.GetKeyAccessJustificationsPolicy() != nil:
		return unsupported("crypto_key.key_access_justifications_policy")
	}
	if d := k.GetDestroyScheduledDuration(); d != nil && (d.AsDuration() < minDestroyAfter || d.AsDuration() > maxDestroyAfter) {
		return status.Errorf(codes.InvalidArgument, "The field crypto_key.destroy_scheduled_duration must be between %v and %v.", minDestroyAfter, maxDestroyAfter)
	}
	return nil
}

// GetCryptoKey returns a key; NOT_FOUND if there is none of that name.
func (s *Server) GetCryptoKey(_ context.Context, req *kmspb.GetCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	k, err := s.lookUpKey(req.GetName())
	if err != nil {
		return nil, err
	}
	return s.keyProto(req.GetName(), k), nil
}

// ListCryptoKeys returns the keys of a key ring by name, in pages.
func (s *Server) ListCryptoKeys(_ context.Context, req *kmspb.ListCryptoKeysRequest) (*kmspb.ListCryptoKeysResponse, error) {
	if err := parseRing(req.GetParent()); err != nil {
		return nil, err
	}
	if req.GetFilter() != "" {
		return nil, unsupported("ListCryptoKeys filter")
	}
	if req.GetOrderBy() != "" {
		return nil, unsupported("ListCryptoKeys order_by")
	}
	after, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil || req.GetPageSize() < 0 {
		return nil, status.Error(codes.InvalidArgument, "Invalid page_token or page_size.")
	}
	st := s.view()
	if _, ok := st.KeyRings[req.GetParent()]; !ok {
		return nil, notFound("KeyRing", req.GetParent())
	}
	var names []string
	for name := range st.Keys {
		if strings.HasPrefix(name, req.GetParent()+"/cryptoKeys/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	res := &kmspb.ListCryptoKeysResponse{TotalSize: int32(len(names))}
	names = slices.DeleteFunc(names, func(n string) bool { return n <= string(after) })
	size := min(int(req.GetPageSize()), maxPageSize)
	if size == 0 {
		size = defaultPageSize
	}
	if len(names) > size {
		names = names[:size]
		res.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(names[size-1]))
	}
	for _, name := range names {
		res.CryptoKeys = append(res.CryptoKeys, s.keyProto(name, st.Keys[name]))
	}
	return res, nil
}

// UpdateCryptoKeyPrimaryVersion makes an enabled version the one that Encrypt uses.
func (s *Server) UpdateCryptoKeyPrimaryVersion(_ context.Context, req *kmspb.UpdateCryptoKeyPrimaryVersionRequest) (*kmspb.CryptoKey, error) {
	name := fmt.Sprintf("%s%s%s", req.GetName(), versionsPart, req.GetCryptoKeyVersionId())
	return changeVersion(s, name, func(k *key, n int) (*kmspb.CryptoKey, error) {
		if st := s.stateOf(k.Versions[n-1]); st != kmspb.CryptoKeyVersion_ENABLED {
			return nil, status.Errorf(codes.FailedPrecondition, textNotEnabled, name, st)
		}
		k.Primary = n
		return s.keyProto(req.GetName(), *k), nil
	})
}

func (s *Server) lookUpKey(name string) (key, error) {
	if _, err := parseKey(name); err != nil {
		return key{}, err
	}
	if err := s.wipeDestroyed(); err != nil {
		return key{}, err
	}
	k, ok := s.view().Keys[name]
	if !ok {
		return key{}, notFound("CryptoKey", name)
	}
	return k, nil
}

func (s *Server) keyProto(name string, k key) *kmspb.CryptoKey {
	out := &kmspb.CryptoKey{
		Name:       name,
		Purpose:    kmspb.CryptoKey_ENCRYPT_DECRYPT,
		CreateTime: timestamppb.New(k.Created),
		VersionTemplate: &kmspb.CryptoKeyVersionTemplate{
			ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
			Algorithm:       kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION,
		},
		Labels:                   maps.Clone(k.Labels),
		DestroyScheduledDuration: durationpb.New(k.DestroyAfter),
	}
	if k.Primary > 0 {
		out.Primary = s.versionProto(versionName(name, k.Primary), k.Versions[k.Primary-1])
	}
	return out
}

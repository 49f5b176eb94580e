package kms

import (
	"context"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// GetCryptoKeyVersion returns a version without its key material.
func (s *Server) GetCryptoKeyVersion(_ context.Context, req *kmspb.GetCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	kn, n, err := parseVersion(req.GetName())
	if err != nil {
		return nil, err
	}
	k, err := s.lookUpKey(kn.key)
	if err != nil {
		return nil, err
	}
	if n > len(k.Versions) {
		return nil, notFound("CryptoKeyVersion", req.GetName())
	}
	return s.versionProto(req.GetName(), k.Versions[n-1]), nil
}

// CreateCryptoKeyVersion adds an enabled version with new material. It does not become the primary one.
func (s *Server) CreateCryptoKeyVersion(_ context.Context, req *kmspb.CreateCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	kn, err := parseKey(req.GetParent())
	if err != nil {
		return nil, err
	}
	switch req.GetCryptoKeyVersion().GetState() {
	case kmspb.CryptoKeyVersion_CRYPTO_KEY_VERSION_STATE_UNSPECIFIED, kmspb.CryptoKeyVersion_ENABLED:
	default:
		return nil, unsupported("CreateCryptoKeyVersion with state " + req.GetCryptoKeyVersion().GetState().String())
	}
	var out *kmspb.CryptoKeyVersion
	err = s.update(func(st *state) error {
		k, ok := st.Keys[kn.key]
		if !ok {
			return notFound("CryptoKey", kn.key)
		}
		v := newVersion(s.now())
		k.Versions = append(k.Versions, v)
		st.Keys[kn.key] = k
		out = s.versionProto(versionName(kn.key, len(k.Versions)), v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateCryptoKeyVersion enables or disables a version; state is the only field that can change.
func (s *Server) UpdateCryptoKeyVersion(_ context.Context, req *kmspb.UpdateCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	paths := req.GetUpdateMask().GetPaths()
	if len(paths) != 1 || paths[0] != "state" {
		return nil, status.Errorf(codes.InvalidArgument, "The field update_mask must be exactly \"state\", not %q.", paths)
	}
	want := req.GetCryptoKeyVersion().GetState()
	if want != kmspb.CryptoKeyVersion_ENABLED && want != kmspb.CryptoKeyVersion_DISABLED {
		return nil, status.Errorf(codes.InvalidArgument, "The field crypto_key_version.state must be ENABLED or DISABLED, not %s.", want)
	}
	name := req.GetCryptoKeyVersion().GetName()
	return changeVersion(s, name, func(k *key, n int) (*kmspb.CryptoKeyVersion, error) {
		v := &k.Versions[n-1]
		if st := s.stateOf(*v); st != kmspb.CryptoKeyVersion_ENABLED && st != kmspb.CryptoKeyVersion_DISABLED {
			return nil, status.Errorf(codes.FailedPrecondition, "%s cannot become %s, current state is: %s.", name, want, st)
		}
		v.Disabled = want == kmspb.CryptoKeyVersion_DISABLED
		return s.versionProto(name, *v), nil
	})
}

// DestroyCryptoKeyVersion schedules the destruction of a version after the key's destroy_scheduled_duration;
// until then it can be restored, and from then on its material is gone.
func (s *Server) DestroyCryptoKeyVersion(_ context.Context, req *kmspb.DestroyCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	return changeVersion(s, req.GetName(), func(k *key, n int) (*kmspb.CryptoKeyVersion, error) {
		v := &k.Versions[n-1]
		if st := s.stateOf(*v); st != kmspb.CryptoKeyVersion_ENABLED && st != kmspb.CryptoKeyVersion_DISABLED {
			return nil, status.Errorf(codes.FailedPrecondition, "%s cannot be destroyed, current state is: %s.", req.GetName(), st)
		}
		at := s.now().UTC().Add(k.DestroyAfter)
		v.DestroyAt = &at
		return s.versionProto(req.GetName(), *v), nil
	})
}

// RestoreCryptoKeyVersion takes back a scheduled destruction; the version comes back disabled.
func (s *Server) RestoreCryptoKeyVersion(_ context.Context, req *kmspb.RestoreCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	return changeVersion(s, req.GetName(), func(k *key, n int) (*kmspb.CryptoKeyVersion, error) {
		v := &k.Versions[n-1]
		if st := s.stateOf(*v); st != kmspb.CryptoKeyVersion_DESTROY_SCHEDULED {
			return nil, status.Errorf(codes.FailedPrecondition, "%s cannot be restored, current state is: %s.", req.GetName(), st)
		}
		v.DestroyAt, v.Disabled = nil, true
		return s.versionProto(req.GetName(), *v), nil
	})
}

// changeVersion lets change alter the key that holds the named version and stores the result.
func changeVersion[T any](s *Server, name string, change func(k *key, n int) (T, error)) (T, error) {
	var out, zero T
	kn, n, err := parseVersion(name)
	if err != nil {
		return zero, err
	}
	if err := s.wipeDestroyed(); err != nil {
		return zero, err
	}
	err = s.update(func(st *state) error {
		k, ok := st.Keys[kn.key]
		if !ok {
			return notFound("CryptoKey", kn.key)
		}
		if n > len(k.Versions) {
			return notFound("CryptoKeyVersion", name)
		}
		var err error
		if out, err = change(&k, n); err != nil {
			return err
		}
		st.Keys[kn.key] = k
		return nil
	})
	if err != nil {
		return zero, err
	}
	return out, nil
}

// stateOf derives the state at this moment: a scheduled destruction takes effect by the clock alone.
func (s *Server) stateOf(v version) kmspb.CryptoKeyVersion_CryptoKeyVersionState {
	switch {
	case v.DestroyedAt != nil || s.isDue(v):
		return kmspb.CryptoKeyVersion_DESTROYED
	case v.DestroyAt != nil:
		return kmspb.CryptoKeyVersion_DESTROY_SCHEDULED
	case v.Disabled:
		return kmspb.CryptoKeyVersion_DISABLED
	default:
		return kmspb.CryptoKeyVersion_ENABLED
	}
}

func (s *Server) versionProto(name string, v version) *kmspb.CryptoKeyVersion {
	out := &kmspb.CryptoKeyVersion{
		Name:            name,
		State:           s.stateOf(v),
		ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
		Algorithm:       kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION,
		CreateTime:      timestamppb.New(v.Created),
		GenerateTime:    timestamppb.New(v.Created),
	}
	destroyed := v.DestroyedAt
	if destroyed == nil && s.isDue(v) {
		destroyed = v.DestroyAt
	}
	switch {
	case destroyed != nil:
		out.DestroyEventTime = timestamppb.New(*destroyed)
	case v.DestroyAt != nil:
		out.DestroyTime = timestamppb.New(*v.DestroyAt)
	}
	return out
}

package kms

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	maxPlaintext = 64 << 10
	maxAAD       = 64 << 10

	// A ciphertext is header, nonce, sealed data. The header is magic, version number, fingerprint of the version.
	magic         = "CKM1"
	headerSize    = len(magic) + 4 + fingerprintSize
	nonceAndTag   = 12 + 16
	maxCiphertext = maxPlaintext + headerSize + nonceAndTag
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encrypt seals the plaintext under the primary version of a key, or under the version that the request names.
func (s *Server) Encrypt(_ context.Context, req *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	if len(req.GetPlaintext()) > maxPlaintext {
		return nil, tooLarge("plaintext", maxPlaintext)
	}
	if len(req.GetAdditionalAuthenticatedData()) > maxAAD {
		return nil, tooLarge("additional_authenticated_data", maxAAD)
	}
	verifiedPlain, err := checkCRC("plaintext", req.GetPlaintext(), req.GetPlaintextCrc32C())
	if err != nil {
		return nil, err
	}
	verifiedAAD, err := checkCRC("additional_authenticated_data", req.GetAdditionalAuthenticatedData(), req.GetAdditionalAuthenticatedDataCrc32C())
	if err != nil {
		return nil, err
	}
	name, n, v, err := s.encryptionVersion(req.GetName())
	if err != nil {
		return nil, err
	}
	if st := s.stateOf(v); st != kmspb.CryptoKeyVersion_ENABLED {
		return nil, status.Errorf(codes.FailedPrecondition, textNotEnabled, name, st)
	}
	ciphertext, err := seal(v, n, req.GetPlaintext(), req.GetAdditionalAuthenticatedData())
	if err != nil {
		return nil, err
	}
	return &kmspb.EncryptResponse{
		Name:                    name,
		Ciphertext:              ciphertext,
		CiphertextCrc32C:        crcOf(ciphertext),
		VerifiedPlaintextCrc32C: verifiedPlain,
		VerifiedAdditionalAuthenticatedDataCrc32C: verifiedAAD,
		ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
	}, nil
}

// encryptionVersion finds the version that a key or version name stands for, and its full name and number.
func (s *Server) encryptionVersion(name string) (string, int, version, error) {
	keyPart, n := name, 0
	if strings.Contains(name, versionsPart) {
		kn, num, err := parseVersion(name)
		if err != nil {
			return "", 0, version{}, err
		}
		keyPart, n = kn.key, num
	}
	k, err := s.lookUpKey(keyPart)
	if err != nil {
		return "", 0, version{}, err
	}
	if n == 0 {
		n = k.Primary
	}
	switch {
	case n == 0:
		return "", 0, version{}, status.Errorf(codes.FailedPrecondition, "CryptoKey %s has no primary version.", keyPart)
	case n > len(k.Versions):
		return "", 0, version{}, notFound("CryptoKeyVersion", name)
	}
	return versionName(keyPart, n), n, k.Versions[n-1], nil
}

// Decrypt opens a ciphertext with the version of the key that sealed it, whether or not that is still the primary one.
func (s *Server) Decrypt(_ context.Context, req *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	if len(req.GetCiphertext()) > maxCiphertext {
		return nil, tooLarge("ciphertext", maxCiphertext)
	}
	if len(req.GetAdditionalAuthenticatedData()) > maxAAD {
		return nil, tooLarge("additional_authenticated_data", maxAAD)
	}
	if _, err := checkCRC("ciphertext", req.GetCiphertext(), req.GetCiphertextCrc32C()); err != nil {
		return nil, err
	}
	if _, err := checkCRC("additional_authenticated_data", req.GetAdditionalAuthenticatedData(), req.GetAdditionalAuthenticatedDataCrc32C()); err != nil {
		return nil, err
	}
	k, err := s.lookUpKey(req.GetName())
	if err != nil {
		return nil, err
	}
	n, ok := versionIn(req.GetCiphertext(), k)
	if !ok {
		return nil, status.Error(codes.InvalidArgument, textDecryptionFailed)
	}
	v := k.Versions[n-1]
	if st := s.stateOf(v); st != kmspb.CryptoKeyVersion_ENABLED {
		return nil, status.Errorf(codes.FailedPrecondition, textNotEnabled, versionName(req.GetName(), n), st)
	}
	plaintext, err := open(v, req.GetCiphertext(), req.GetAdditionalAuthenticatedData())
	if err != nil {
		return nil, err
	}
	return &kmspb.DecryptResponse{
		Plaintext:       plaintext,
		PlaintextCrc32C: crcOf(plaintext),
		UsedPrimary:     n == k.Primary,
		ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
	}, nil
}

// versionIn reads the number of the sealing version from a ciphertext; false if it is none of k's.
func versionIn(ciphertext []byte, k key) (int, bool) {
	if len(ciphertext) < headerSize+nonceAndTag || string(ciphertext[:len(magic)]) != magic {
		return 0, false
	}
	n := binary.BigEndian.Uint32(ciphertext[len(magic):])
	if n < 1 || uint64(n) > uint64(len(k.Versions)) {
		return 0, false
	}
	return int(n), bytes.Equal(ciphertext[len(magic)+4:headerSize], k.Versions[n-1].Fingerprint)
}

func seal(v version, n int, plaintext, aad []byte) ([]byte, error) {
	aead, err := newAEAD(v)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, headerSize+nonceAndTag+len(plaintext))
	out = append(out, magic...)
	out = binary.BigEndian.AppendUint32(out, uint32(n))
	out = append(out, v.Fingerprint...)
	return aead.Seal(out, nil, plaintext, boundData(out, aad)), nil
}

func open(v version, ciphertext, aad []byte) ([]byte, error) {
	aead, err := newAEAD(v)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, ciphertext[headerSize:], boundData(ciphertext[:headerSize], aad))
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, textDecryptionFailed)
	}
	return plaintext, nil
}

func newAEAD(v version) (cipher.AEAD, error) {
	block, err := aes.NewCipher(v.KeyMaterial)
	if err != nil {
		return nil, status.Error(codes.Internal, "The key material is unusable.")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, status.Error(codes.Internal, "The cipher is unavailable.")
	}
	return aead, nil
}

// boundData authenticates the header too. Its size is fixed, so the two parts cannot be shifted against each other.
func boundData(header, aad []byte) []byte {
	return append(bytes.Clone(header), aad...)
}

// checkCRC reports whether a checksum was sent, and an error if it was and is not that of data.
func checkCRC(field string, data []byte, sent *wrapperspb.Int64Value) (bool, error) {
	if sent == nil {
		return false, nil
	}
	if sent.GetValue() != crcOf(data).GetValue() {
		return false, status.Errorf(codes.InvalidArgument, textChecksum, field+"_crc32c", field)
	}
	return true, nil
}

func crcOf(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, castagnoli)))
}

func tooLarge(field string, limit int) error {
	return status.Errorf(codes.InvalidArgument, "The field %s is larger than %d bytes.", field, limit)
}

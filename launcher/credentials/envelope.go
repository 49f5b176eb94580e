package credentials

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// maxSecret is what Cloud KMS encrypts in one call.
	maxSecret = 64 << 10

	// A checksum that does not match means bytes damaged on the way: worth another try, not many.
	checksumAttempts = 3
)

// errDamaged says that a checksum did not match after all attempts.
var errDamaged = errors.New("the checksum of the KMS answer does not match: it was damaged on the way, try again")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// envelope seals and opens credentials with one KMS key.
type envelope struct {
	client *kms.KeyManagementClient
	key    string
}

// boundTo is the additional authenticated data of a credential: each part with its length before it,
// so that no two different triples are the same bytes.
func boundTo(org, provider, credentialID string) []byte {
	var aad []byte
	for _, part := range []string{org, provider, credentialID} {
		aad = binary.BigEndian.AppendUint32(aad, uint32(len(part)))
		aad = append(aad, part...)
	}
	return aad
}

func (e envelope) seal(ctx context.Context, secret Secret, aad []byte) ([]byte, error) {
	plaintext := []byte(secret.Reveal())
	if len(plaintext) > maxSecret {
		return nil, fmt.Errorf("encrypting credential: it has %d bytes, at most %d are possible", len(plaintext), maxSecret)
	}
	for range checksumAttempts {
		res, err := e.client.Encrypt(ctx, &kmspb.EncryptRequest{
			Name: e.key, Plaintext: plaintext, PlaintextCrc32C: checksum(plaintext),
			AdditionalAuthenticatedData: aad, AdditionalAuthenticatedDataCrc32C: checksum(aad),
		})
		if err != nil {
			return nil, fmt.Errorf("encrypting credential with %s: %w", e.key, err)
		}
		if !strings.HasPrefix(res.GetName(), e.key+"/cryptoKeyVersions/") {
			return nil, fmt.Errorf("encrypting credential with %s: the answer is of another key, %s", e.key, res.GetName())
		}
		if res.GetVerifiedPlaintextCrc32C() && res.GetVerifiedAdditionalAuthenticatedDataCrc32C() && matches(res.GetCiphertext(), res.GetCiphertextCrc32C()) {
			return res.GetCiphertext(), nil
		}
	}
	return nil, fmt.Errorf("encrypting credential with %s: %w", e.key, errDamaged)
}

func (e envelope) open(ctx context.Context, ciphertext, aad []byte) (Secret, error) {
	for range checksumAttempts {
		res, err := e.client.Decrypt(ctx, &kmspb.DecryptRequest{
			Name: e.key, Ciphertext: ciphertext, CiphertextCrc32C: checksum(ciphertext),
			AdditionalAuthenticatedData: aad, AdditionalAuthenticatedDataCrc32C: checksum(aad),
		})
		if err != nil {
			return Secret{}, fmt.Errorf("decrypting credential with %s: %w", e.key, err)
		}
		if matches(res.GetPlaintext(), res.GetPlaintextCrc32C()) {
			return NewSecret(string(res.GetPlaintext())), nil
		}
	}
	return Secret{}, fmt.Errorf("decrypting credential with %s: %w", e.key, errDamaged)
}

// isWrongAAD reports whether the KMS refused to open a ciphertext under the data it was given.
func isWrongAAD(err error) bool { return status.Code(err) == codes.InvalidArgument }

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, castagnoli)))
}

func matches(data []byte, sum *wrapperspb.Int64Value) bool {
	return sum != nil && sum.GetValue() == checksum(data).GetValue()
}

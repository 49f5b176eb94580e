package credentials

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cloudact/convergence/local/kms"
)

// newEnvelope uses the embedded KMS; alter, if any, changes what arrives from it, as a bad network would.
func newEnvelope(t *testing.T, alter func(answer any)) envelope {
	t.Helper()
	server, err := kms.Open("")
	if err != nil {
		t.Fatal(err)
	}
	key := DefaultKeyName("p-1")
	if err := server.EnsureKey(key); err != nil {
		t.Fatal(err)
	}
	intercept := func(ctx context.Context, method string, req, answer any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := call(ctx, method, req, answer, cc, opts...)
		if err == nil && alter != nil {
			alter(answer)
		}
		return err
	}
	client, err := kmsapi.NewKeyManagementClient(t.Context(), option.WithEndpoint(kms.RunT(t, server)), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithUnaryInterceptor(intercept)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return envelope{client: client, key: key}
}

const plaintext = "sk-canary-7f3a9c"

func TestSealedCredentialOpensOnlyInItsPlace(t *testing.T) {
	e := newEnvelope(t, nil)
	sealed, err := e.seal(t.Context(), NewSecret(plaintext), boundTo("acme", "OPENAI", "id-1"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte(plaintext)) {
		t.Fatal("the ciphertext holds the secret")
	}
	if got, err := e.open(t.Context(), sealed, boundTo("acme", "OPENAI", "id-1")); err != nil || got.Reveal() != plaintext {
		t.Fatalf("opened %q, %v", got.Reveal(), err)
	}
	for _, place := range [][]byte{
		nil, boundTo("acme2", "OPENAI", "id-1"), boundTo("acme", "ANTHROPIC", "id-1"), boundTo("acme", "OPENAI", "id-2"),
		boundTo("acmeO", "PENAI", "id-1"), boundTo("acme", "OPENAIi", "d-1"),
	} {
		if _, err := e.open(t.Context(), sealed, place); !isWrongAAD(err) {
			t.Errorf("opened in %q: %v", place, err)
		}
	}
}

func TestAnswersDamagedOnTheWayAreRefused(t *testing.T) {
	calls := 0
	for name, alter := range map[string]func(any){
		"ciphertext":       func(a any) { edit(a, func(r *kmspb.EncryptResponse) { r.Ciphertext[5] ^= 1 }) },
		"no checksum":      func(a any) { edit(a, func(r *kmspb.EncryptResponse) { r.CiphertextCrc32C = nil }) },
		"plaintext unseen": func(a any) { edit(a, func(r *kmspb.EncryptResponse) { r.VerifiedPlaintextCrc32C = false }) },
		"binding unseen": func(a any) {
			edit(a, func(r *kmspb.EncryptResponse) { r.VerifiedAdditionalAuthenticatedDataCrc32C = false })
		},
		"plaintext":          func(a any) { edit(a, func(r *kmspb.DecryptResponse) { r.Plaintext[0] ^= 1 }) },
		"plaintext checksum": func(a any) { edit(a, func(r *kmspb.DecryptResponse) { r.PlaintextCrc32C = wrapperspb.Int64(7) }) },
	} {
		t.Run(name, func(t *testing.T) {
			calls = 0
			e := newEnvelope(t, func(a any) { calls++; alter(a) })
			sealed, err := e.seal(t.Context(), NewSecret(plaintext), nil)
			if err == nil {
				calls = 0
				_, err = e.open(t.Context(), sealed, nil)
			}
			if !errors.Is(err, errDamaged) || strings.Contains(err.Error(), plaintext) {
				t.Fatalf("error = %v", err)
			}
			if calls != checksumAttempts {
				t.Errorf("tried %d times", calls)
			}
		})
	}
}

func TestDamageThatPassesIsTriedAgain(t *testing.T) {
	first := true
	e := newEnvelope(t, func(a any) {
		edit(a, func(r *kmspb.EncryptResponse) {
			if first {
				r.Ciphertext[0] ^= 1
			}
			first = false
		})
	})
	sealed, err := e.seal(t.Context(), NewSecret(plaintext), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.open(t.Context(), sealed, nil); err != nil || got.Reveal() != plaintext {
		t.Fatalf("opened %q, %v", got.Reveal(), err)
	}
}

func TestAnswerOfAnotherKeyIsRefused(t *testing.T) {
	e := newEnvelope(t, func(a any) {
		edit(a, func(r *kmspb.EncryptResponse) {
			r.Name = "projects/evil/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
		})
	})
	if _, err := e.seal(t.Context(), NewSecret(plaintext), nil); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Fatalf("error = %v", err)
	}
}

func TestErrorsOfTheKMSKeepTheirCodeAndNoSecret(t *testing.T) {
	e := newEnvelope(t, nil)
	e.key += "-missing"
	_, err := e.seal(t.Context(), NewSecret(plaintext), nil)
	if status.Code(errors.Unwrap(err)) != codes.NotFound || strings.Contains(err.Error(), plaintext) {
		t.Fatalf("error = %v", err)
	}
	_, err = e.seal(t.Context(), NewSecret(strings.Repeat("x", maxSecret+1)), nil)
	if err == nil || len(err.Error()) > 200 {
		t.Fatalf("too large a secret: %v", err)
	}
}

// edit applies change if the answer is of the method that it is about.
func edit[T any](answer any, change func(*T)) {
	if r, ok := answer.(*T); ok {
		change(r)
	}
}

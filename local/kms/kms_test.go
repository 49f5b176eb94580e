package kms_test

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cloudact/convergence/local/kms"
)

const (
	location = "projects/p-1/locations/global"
	ring     = location + "/keyRings/ring"
	keyA     = ring + "/cryptoKeys/a"
	keyB     = ring + "/cryptoKeys/b"
)

func client(t testing.TB, s *kms.Server) *kmsapi.KeyManagementClient {
	t.Helper()
	c, err := kmsapi.NewKeyManagementClient(t.Context(), option.WithEndpoint(kms.RunT(t, s)), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func open(t testing.TB, path string, opts ...kms.Option) *kms.Server {
	t.Helper()
	s, err := kms.Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func withKeys(t testing.TB) *kms.Server {
	t.Helper()
	s := open(t, "")
	for _, k := range []string{keyA, keyB} {
		if err := s.EnsureKey(k); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func crc(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

func wantStatus(t testing.TB, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		t.Fatalf("error = %v, want %v with %q", err, code, text)
	}
}

func encrypt(t testing.TB, c *kmsapi.KeyManagementClient, name, plain, aad string) []byte {
	t.Helper()
	res, err := c.Encrypt(t.Context(), &kmspb.EncryptRequest{Name: name, Plaintext: []byte(plain), AdditionalAuthenticatedData: []byte(aad)})
	if err != nil {
		t.Fatal(err)
	}
	return res.Ciphertext
}

func decrypt(ctx context.Context, c *kmsapi.KeyManagementClient, name string, ciphertext []byte, aad string) (string, error) {
	res, err := c.Decrypt(ctx, &kmspb.DecryptRequest{Name: name, Ciphertext: ciphertext, AdditionalAuthenticatedData: []byte(aad)})
	return string(res.GetPlaintext()), err
}

func TestOfficialClientCreatesKeysAndRoundTripsASecret(t *testing.T) {
	c := client(t, nil)
	ctx := t.Context()
	if _, err := c.CreateKeyRing(ctx, &kmspb.CreateKeyRingRequest{Parent: location, KeyRingId: "ring"}); err != nil {
		t.Fatal(err)
	}
	create := &kmspb.CreateCryptoKeyRequest{
		Parent: ring, CryptoKeyId: "a",
		CryptoKey: &kmspb.CryptoKey{Purpose: kmspb.CryptoKey_ENCRYPT_DECRYPT, Labels: map[string]string{"team": "x"}},
	}
	k, err := c.CreateCryptoKey(ctx, create)
	if err != nil {
		t.Fatal(err)
	}
	if k.Name != keyA || k.Primary.GetName() != keyA+"/cryptoKeyVersions/1" || k.Labels["team"] != "x" {
		t.Fatalf("created key = %v", k)
	}
	_, err = c.CreateCryptoKey(ctx, create)
	wantStatus(t, err, codes.AlreadyExists, "CryptoKey "+keyA+" already exists.")
	_, err = c.CreateKeyRing(ctx, &kmspb.CreateKeyRingRequest{Parent: location, KeyRingId: "ring"})
	wantStatus(t, err, codes.AlreadyExists, "KeyRing "+ring+" already exists.")

	plain, aad := []byte("s3cret"), []byte("aad")
	enc, err := c.Encrypt(ctx, &kmspb.EncryptRequest{
		Name: keyA, Plaintext: plain, PlaintextCrc32C: crc(plain),
		AdditionalAuthenticatedData: aad, AdditionalAuthenticatedDataCrc32C: crc(aad),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !enc.VerifiedPlaintextCrc32C || !enc.VerifiedAdditionalAuthenticatedDataCrc32C {
		t.Error("checksums were sent and not reported as verified")
	}
	if enc.CiphertextCrc32C.GetValue() != crc(enc.Ciphertext).GetValue() || enc.Name != keyA+"/cryptoKeyVersions/1" {
		t.Errorf("ciphertext checksum or name is wrong: %v %s", enc.CiphertextCrc32C, enc.Name)
	}
	if bytes.Contains(enc.Ciphertext, plain) {
		t.Error("the ciphertext holds the plaintext")
	}
	dec, err := c.Decrypt(ctx, &kmspb.DecryptRequest{
		Name: keyA, Ciphertext: enc.Ciphertext, CiphertextCrc32C: crc(enc.Ciphertext),
		AdditionalAuthenticatedData: aad, AdditionalAuthenticatedDataCrc32C: crc(aad),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dec.Plaintext, plain) || dec.PlaintextCrc32C.GetValue() != crc(plain).GetValue() || !dec.UsedPrimary {
		t.Errorf("decrypted = %v", dec)
	}
	without, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: keyA, Plaintext: plain})
	if err != nil || without.VerifiedPlaintextCrc32C || without.VerifiedAdditionalAuthenticatedDataCrc32C {
		t.Errorf("without checksums: verified = %v, %v; err = %v", without.GetVerifiedPlaintextCrc32C(), without.GetVerifiedAdditionalAuthenticatedDataCrc32C(), err)
	}
}

func TestWrongChecksumIsRefused(t *testing.T) {
	c := client(t, withKeys(t))
	ctx, data, bad := t.Context(), []byte("data"), wrapperspb.Int64(1)
	_, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: keyA, Plaintext: data, PlaintextCrc32C: bad})
	wantStatus(t, err, codes.InvalidArgument, "plaintext_crc32c")
	_, err = c.Encrypt(ctx, &kmspb.EncryptRequest{Name: keyA, Plaintext: data, AdditionalAuthenticatedDataCrc32C: bad})
	wantStatus(t, err, codes.InvalidArgument, "additional_authenticated_data_crc32c")
	sealed := encrypt(t, c, keyA, "data", "")
	_, err = c.Decrypt(ctx, &kmspb.DecryptRequest{Name: keyA, Ciphertext: sealed, CiphertextCrc32C: bad})
	wantStatus(t, err, codes.InvalidArgument, "ciphertext_crc32c")
	_, err = c.Decrypt(ctx, &kmspb.DecryptRequest{Name: keyA, Ciphertext: sealed, AdditionalAuthenticatedDataCrc32C: bad})
	wantStatus(t, err, codes.InvalidArgument, "additional_authenticated_data_crc32c")
}

func TestCiphertextOpensOnlyWithItsKeyAndItsAAD(t *testing.T) {
	const failed = "Decryption failed: verify that 'name' refers to the correct CryptoKey."
	c := client(t, withKeys(t))
	sealed := encrypt(t, c, keyA, "data", "aad")
	if got, err := decrypt(t.Context(), c, keyA, sealed, "aad"); err != nil || got != "data" {
		t.Fatalf("decrypt = %q, %v", got, err)
	}
	_, err := decrypt(t.Context(), c, keyA, sealed, "other")
	wantStatus(t, err, codes.InvalidArgument, failed)
	_, err = decrypt(t.Context(), c, keyA, sealed, "")
	wantStatus(t, err, codes.InvalidArgument, failed)
	_, err = decrypt(t.Context(), c, keyB, sealed, "aad")
	wantStatus(t, err, codes.InvalidArgument, failed)
	for i := range sealed {
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1
		_, err := decrypt(t.Context(), c, keyA, flipped, "aad")
		wantStatus(t, err, codes.InvalidArgument, failed)
	}
	for _, n := range []int{0, 1, 16, len(sealed) - 1} {
		_, err := decrypt(t.Context(), c, keyA, sealed[:n], "aad")
		wantStatus(t, err, codes.InvalidArgument, failed)
	}
}

func TestUnknownNamesAreNotFoundAndMalformedOnesInvalid(t *testing.T) {
	s := withKeys(t)
	c := client(t, s)
	ctx := t.Context()
	for _, tc := range []struct {
		name string
		code codes.Code
	}{
		{ring + "/cryptoKeys/missing", codes.NotFound},
		{keyA + "/cryptoKeyVersions/2", codes.NotFound},
		{keyA + "/cryptoKeyVersions/0", codes.InvalidArgument},
		{keyA + "/cryptoKeyVersions/01", codes.InvalidArgument},
		{"projects/p-1/cryptoKeys/a", codes.InvalidArgument},
		{keyA + "/../b", codes.InvalidArgument},
	} {
		_, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: tc.name, Plaintext: []byte("x")})
		wantStatus(t, err, tc.code, "")
	}
	_, err := c.CreateCryptoKey(ctx, &kmspb.CreateCryptoKeyRequest{
		Parent: location + "/keyRings/none", CryptoKeyId: "a",
		CryptoKey: &kmspb.CryptoKey{Purpose: kmspb.CryptoKey_ENCRYPT_DECRYPT},
	})
	wantStatus(t, err, codes.NotFound, "KeyRing")
	if err := s.EnsureKey("not-a-key"); err == nil {
		t.Error("EnsureKey accepted a malformed name")
	}
}

func TestOldVersionsDecryptAfterRotation(t *testing.T) {
	c := client(t, withKeys(t))
	ctx := t.Context()
	old := encrypt(t, c, keyA, "old", "")
	v, err := c.CreateCryptoKeyVersion(ctx, &kmspb.CreateCryptoKeyVersionRequest{Parent: keyA})
	if err != nil || v.Name != keyA+"/cryptoKeyVersions/2" {
		t.Fatalf("new version = %v, %v", v, err)
	}
	if k, err := c.UpdateCryptoKeyPrimaryVersion(ctx, &kmspb.UpdateCryptoKeyPrimaryVersionRequest{Name: keyA, CryptoKeyVersionId: "2"}); err != nil || k.Primary.Name != v.Name {
		t.Fatalf("primary = %v, %v", k.GetPrimary(), err)
	}
	fresh, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: keyA, Plaintext: []byte("new")})
	if err != nil || fresh.Name != v.Name {
		t.Fatalf("encrypted by %s, %v", fresh.GetName(), err)
	}
	res, err := c.Decrypt(ctx, &kmspb.DecryptRequest{Name: keyA, Ciphertext: old})
	if err != nil || string(res.Plaintext) != "old" || res.UsedPrimary {
		t.Fatalf("old ciphertext: %v, %v", res, err)
	}
	if got, err := decrypt(ctx, c, keyA, fresh.Ciphertext, ""); err != nil || got != "new" {
		t.Fatalf("new ciphertext: %q, %v", got, err)
	}
	if _, err = c.UpdateCryptoKeyPrimaryVersion(ctx, &kmspb.UpdateCryptoKeyPrimaryVersionRequest{Name: keyA, CryptoKeyVersionId: "9"}); status.Code(err) != codes.NotFound {
		t.Fatalf("unknown primary: %v", err)
	}
}

func setState(t testing.TB, c *kmsapi.KeyManagementClient, name string, st kmspb.CryptoKeyVersion_CryptoKeyVersionState) error {
	t.Helper()
	_, err := c.UpdateCryptoKeyVersion(t.Context(), &kmspb.UpdateCryptoKeyVersionRequest{
		CryptoKeyVersion: &kmspb.CryptoKeyVersion{Name: name, State: st}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"state"}},
	})
	return err
}

func TestDisabledVersionRefusesUntilEnabledAgain(t *testing.T) {
	c := client(t, withKeys(t))
	v1 := keyA + "/cryptoKeyVersions/1"
	sealed := encrypt(t, c, keyA, "x", "")
	if err := setState(t, c, v1, kmspb.CryptoKeyVersion_DISABLED); err != nil {
		t.Fatal(err)
	}
	_, err := decrypt(t.Context(), c, keyA, sealed, "")
	wantStatus(t, err, codes.FailedPrecondition, v1+" is not enabled, current state is: DISABLED.")
	_, err = c.Encrypt(t.Context(), &kmspb.EncryptRequest{Name: keyA, Plaintext: []byte("x")})
	wantStatus(t, err, codes.FailedPrecondition, "DISABLED")
	if err := setState(t, c, v1, kmspb.CryptoKeyVersion_ENABLED); err != nil {
		t.Fatal(err)
	}
	if got, err := decrypt(t.Context(), c, keyA, sealed, ""); err != nil || got != "x" {
		t.Fatalf("after enabling: %q, %v", got, err)
	}
	wantStatus(t, setState(t, c, v1, kmspb.CryptoKeyVersion_DESTROYED), codes.InvalidArgument, "ENABLED or DISABLED")
}

func TestDestructionIsScheduledRestorableAndThenFinal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.json")
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	s := open(t, path, kms.WithClock(func() time.Time { mu.Lock(); defer mu.Unlock(); return now }))
	if err := s.EnsureKey(keyA); err != nil {
		t.Fatal(err)
	}
	c, ctx, v1 := client(t, s), t.Context(), keyA+"/cryptoKeyVersions/1"
	sealed := encrypt(t, c, keyA, "x", "")
	before := size(t, path)

	v, err := c.DestroyCryptoKeyVersion(ctx, &kmspb.DestroyCryptoKeyVersionRequest{Name: v1})
	if err != nil || v.State != kmspb.CryptoKeyVersion_DESTROY_SCHEDULED || !v.DestroyTime.AsTime().Equal(now.AddDate(0, 0, 30)) {
		t.Fatalf("destroy = %v, %v", v, err)
	}
	_, err = decrypt(ctx, c, keyA, sealed, "")
	wantStatus(t, err, codes.FailedPrecondition, "DESTROY_SCHEDULED")
	v, err = c.RestoreCryptoKeyVersion(ctx, &kmspb.RestoreCryptoKeyVersionRequest{Name: v1})
	if err != nil || v.State != kmspb.CryptoKeyVersion_DISABLED {
		t.Fatalf("restore = %v, %v", v, err)
	}
	if _, err := c.DestroyCryptoKeyVersion(ctx, &kmspb.DestroyCryptoKeyVersionRequest{Name: v1}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	now = now.AddDate(0, 0, 30)
	mu.Unlock()
	got, err := c.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: v1})
	if err != nil || got.State != kmspb.CryptoKeyVersion_DESTROYED || got.DestroyEventTime == nil {
		t.Fatalf("after 30 days = %v, %v", got, err)
	}
	_, err = decrypt(ctx, c, keyA, sealed, "")
	wantStatus(t, err, codes.FailedPrecondition, "DESTROYED")
	_, err = c.RestoreCryptoKeyVersion(ctx, &kmspb.RestoreCryptoKeyVersionRequest{Name: v1})
	wantStatus(t, err, codes.FailedPrecondition, "DESTROYED")
	if raw, err := os.ReadFile(path); err != nil || bytes.Contains(raw, []byte("key_material")) {
		t.Errorf("the destroyed key is still in the file (%d bytes before), err %v", before, err)
	}
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestSizesAreLimited(t *testing.T) {
	c := client(t, withKeys(t))
	ctx, full := t.Context(), bytes.Repeat([]byte("x"), 64<<10)
	res, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: keyA, Plaintext: full, AdditionalAuthenticatedData: full})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decrypt(ctx, c, keyA, res.Ciphertext, string(full)); err != nil || got != string(full) {
		t.Fatalf("64 KiB did not round-trip: %d bytes, %v", len(got), err)
	}
	over := append(full, 'x')
	_, err = c.Encrypt(ctx, &kmspb.EncryptRequest{Name: keyA, Plaintext: over})
	wantStatus(t, err, codes.InvalidArgument, "plaintext")
	_, err = c.Encrypt(ctx, &kmspb.EncryptRequest{Name: keyA, AdditionalAuthenticatedData: over})
	wantStatus(t, err, codes.InvalidArgument, "additional_authenticated_data")
	_, err = c.Decrypt(ctx, &kmspb.DecryptRequest{Name: keyA, Ciphertext: bytes.Repeat(over, 2)})
	wantStatus(t, err, codes.InvalidArgument, "ciphertext")
}

func TestKeysSurviveReopeningAndTheFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.json")
	s := open(t, path)
	for range 2 {
		if err := s.EnsureKey(keyA); err != nil {
			t.Fatal(err)
		}
	}
	sealed := encrypt(t, client(t, s), keyA, "kept", "aad")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file mode = %v, %v", info.Mode(), err)
	}
	if got, err := decrypt(t.Context(), client(t, open(t, path)), keyA, sealed, "aad"); err != nil || got != "kept" {
		t.Fatalf("after reopening: %q, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".kms-*")); len(left) != 0 {
		t.Errorf("temporary files left behind: %v", left)
	}
}

func TestUnusableKeyFilesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		text, want string
		mode       os.FileMode
	}{
		"truncated":      {`{"format_version":1,"keys":{"x`, "damaged", 0o600},
		"trailing bytes": {`{"format_version":1} {}`, "damaged", 0o600},
		"empty":          {``, "damaged", 0o600},
		"newer format":   {`{"format_version":2}`, "format version 2", 0o600},
		"no format":      {`{}`, "format version 0", 0o600},
		"readable":       {`{"format_version":1}`, "other users", 0o644},
		"short key": {
			`{"format_version":1,"keys":{"k":{"versions":[{"fingerprint":"AAAAAAAAAAA=","key_material":"c2hvcnQtY2FuYXJ5"}]}}}`,
			"damaged", 0o600,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kms.json")
			if err := os.WriteFile(path, []byte(tc.text), tc.mode); err != nil {
				t.Fatal(err)
			}
			_, err := kms.Open(path)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "canary") {
				t.Fatalf("error = %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestAFailedWriteChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "kms.json"))
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureKey(keyA); err == nil {
		t.Fatal("a key was acknowledged that is not on disk")
	}
	_, err := client(t, s).GetCryptoKey(t.Context(), &kmspb.GetCryptoKeyRequest{Name: keyA})
	wantStatus(t, err, codes.NotFound, keyA)
}

func TestListPagesThroughTheKeysOfOneRing(t *testing.T) {
	s := withKeys(t)
	if err := s.EnsureKey(location + "/keyRings/ring2/cryptoKeys/c"); err != nil {
		t.Fatal(err)
	}
	var names []string
	it := client(t, s).ListCryptoKeys(t.Context(), &kmspb.ListCryptoKeysRequest{Parent: ring, PageSize: 1})
	for {
		k, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, k.Name)
	}
	if strings.Join(names, " ") != keyA+" "+keyB {
		t.Fatalf("listed %v", names)
	}
}

func TestUnsupportedRequestsAreNamed(t *testing.T) {
	c := client(t, withKeys(t))
	ctx := t.Context()
	_, err := c.MacSign(ctx, &kmspb.MacSignRequest{Name: keyA + "/cryptoKeyVersions/1"})
	wantStatus(t, err, codes.Unimplemented, "MacSign")
	for text, k := range map[string]*kmspb.CryptoKey{
		"ASYMMETRIC_SIGN": {Purpose: kmspb.CryptoKey_ASYMMETRIC_SIGN},
		"HSM": {
			Purpose:         kmspb.CryptoKey_ENCRYPT_DECRYPT,
			VersionTemplate: &kmspb.CryptoKeyVersionTemplate{ProtectionLevel: kmspb.ProtectionLevel_HSM},
		},
		"rotation": {
			Purpose:          kmspb.CryptoKey_ENCRYPT_DECRYPT,
			RotationSchedule: &kmspb.CryptoKey_RotationPeriod{RotationPeriod: durationpb.New(48 * time.Hour)},
		},
	} {
		_, err := c.CreateCryptoKey(ctx, &kmspb.CreateCryptoKeyRequest{Parent: ring, CryptoKeyId: "n", CryptoKey: k})
		wantStatus(t, err, codes.Unimplemented, text)
	}
}

func TestConcurrentRotationAndUseLoseNothing(t *testing.T) {
	c := client(t, withKeys(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := c.CreateCryptoKeyVersion(t.Context(), &kmspb.CreateCryptoKeyVersionRequest{Parent: keyA}); err != nil {
				t.Error(err)
			}
			res, err := c.Encrypt(t.Context(), &kmspb.EncryptRequest{Name: keyA, Plaintext: []byte("x")})
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := decrypt(t.Context(), c, keyA, res.Ciphertext, ""); err != nil || got != "x" {
				t.Errorf("decrypt = %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if _, err := c.GetCryptoKeyVersion(t.Context(), &kmspb.GetCryptoKeyVersionRequest{Name: keyA + "/cryptoKeyVersions/9"}); err != nil {
		t.Fatalf("eight rotations did not make nine versions: %v", err)
	}
}

func BenchmarkEncryptOverGRPC(b *testing.B) {
	c := client(b, withKeys(b))
	for b.Loop() {
		encrypt(b, c, keyA, "sk-0123456789", "aad")
	}
}

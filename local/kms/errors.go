package kms

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Texts of the service, which clients show to people and sometimes match on.
const (
	textDecryptionFailed = "Decryption failed: verify that 'name' refers to the correct CryptoKey."
	textChecksum         = "The checksum in field %s did not match the data in field %s."
	textNotFound         = "%s %s not found."
	textAlreadyExists    = "%s %s already exists."
	textNotEnabled       = "%s is not enabled, current state is: %s."
)

func invalidName(kind, name string) error {
	return status.Errorf(codes.InvalidArgument, "Resource name %q is not a valid %s name.", name, kind)
}

func notFound(kind, name string) error {
	return status.Errorf(codes.NotFound, textNotFound, kind, name)
}

func alreadyExists(kind, name string) error {
	return status.Errorf(codes.AlreadyExists, textAlreadyExists, kind, name)
}

func unsupported(what string) error {
	return status.Errorf(codes.Unimplemented, "%s is not supported by the embedded KMS.", what)
}

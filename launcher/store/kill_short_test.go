//go:build !long

package store_test

const killPoints = 8 // of all at which a launcher is killed

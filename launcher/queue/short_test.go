//go:build !long

package queue_test

const seeds = 500

//go:build long

package model

const seeds = 10_000

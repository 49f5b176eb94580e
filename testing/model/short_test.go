//go:build !long

package model

const seeds = 500

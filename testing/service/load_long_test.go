//go:build long

package service

var crowd = load{orgs: 20, each: 5, concurrent: 4, global: 8, services: 1, impartially: 0.95}

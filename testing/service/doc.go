// Package service tests `convergence serve` as it is run: processes over one embedded
// warehouse, behind a proxy that can make every call fail, lose its answer, wait, or be
// the last one of the process that made it. It knows the service by its API, its tables
// and its signals only.
package service

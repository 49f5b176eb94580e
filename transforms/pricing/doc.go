// Package pricing turns token counts into exact cost: dated price tables, model
// matching and the cost rules of the providers.
//
// It is pure: it reads bytes that it is given and knows neither files, nor the network,
// nor Beam, nor rows. Prices are USD per million tokens and stay exact decimals from the
// text of the table to the cost; nothing passes through a float. A price that the table
// does not have is reported as missing, never as zero and never as a default.
package pricing

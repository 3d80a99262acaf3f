// Command open-loop holds the open loop of mslab's generator against known
// answers: the rate that it keeps, delays that a server makes and times itself,
// and a server that is stopped.
package main

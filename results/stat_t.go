package results

import (
	"math"

	"github.com/montanaflynn/stats"
)

// Mean returns the arithmetic mean, NaN without values.
func Mean(values []float64) float64 {
	m, err := stats.Mean(values)
	if err != nil {
		return math.NaN()
	}
	return m
}

// SampleSD returns the standard deviation with n-1 in the denominator, NaN with
// fewer than two values. (stats.StandardDeviation is the population form.)
func SampleSD(values []float64) float64 {
	if len(values) < 2 {
		return math.NaN()
	}
	sd, err := stats.StandardDeviationSample(values)
	if err != nil {
		return math.NaN()
	}
	return sd
}

// geometricMean returns exp of the mean logarithm: the average that fits
// ratios. NaN without values or where one is not positive.
func geometricMean(values []float64) float64 {
	logs := make([]float64, 0, len(values))
	for _, v := range values {
		if v <= 0 {
			return math.NaN()
		}
		logs = append(logs, math.Log(v))
	}
	return math.Exp(Mean(logs))
}

// tCDF is the distribution function of Student's t for a whole number of
// degrees of freedom, by the finite series of Abramowitz and Stegun, 26.7.3 and
// 26.7.4.
func tCDF(t float64, freedom int) float64 {
	theta := math.Atan(t / math.Sqrt(float64(freedom)))
	sin, cos := math.Sincos(theta)
	var within float64 // the probability of (-|t|, |t|), signed
	if freedom%2 == 1 {
		sum, term := 0.0, cos
		for k := 1; k <= freedom-2; k += 2 {
			sum += term
			term *= cos * cos * float64(k+1) / float64(k+2)
		}
		within = 2 / math.Pi * (theta + sin*sum)
	} else {
		sum, term := 0.0, 1.0
		for k := 0; k <= freedom-2; k += 2 {
			sum += term
			term *= cos * cos * float64(k+1) / float64(k+2)
		}
		within = sin * sum
	}
	return 0.5 + within/2
}

// tQuantile inverts tCDF by bisection for p in (0.5, 1).
func tQuantile(p float64, freedom int) float64 {
	low, high := 0.0, 1.0
	for tCDF(high, freedom) < p && high < 1e9 {
		high *= 2
	}
	for range 200 {
		middle := low + (high-low)/2
		if middle == low || middle == high {
			break
		}
		if tCDF(middle, freedom) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

//! Kernels over irregular time series.

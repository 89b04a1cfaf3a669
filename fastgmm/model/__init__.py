"""What a mixture is: covariance families, maximization, Cholesky factors, samples."""

"""What is measured of a version on its holdout, in the judging process: numbers in, numbers out."""

module trueup.dev/trueup

go 1.24

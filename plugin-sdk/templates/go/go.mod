module example.com/{{name}}

go 1.24

require trueup.dev/trueup v0.0.0

replace trueup.dev/trueup => ./sdk

mslab: deep2.yaml:1:3003: sequence end token ']' not found; see mslab run --help

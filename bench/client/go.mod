module weir.test/bench/client

go 1.22

"""What tests share: real servers and proxies as processes, a raw client, small applications."""

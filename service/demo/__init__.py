"""The whole service on embedded parts, with generated traffic, faults, and an oracle's verdict at the end.

`service.commands.demo` calls `service.demo.play.play`. The service itself runs as a process of its own and
knows nothing of all this: it is fed over Kafka, read over HTTP, and judged by what stands in its database.
Nothing here calls the code that it judges.
"""

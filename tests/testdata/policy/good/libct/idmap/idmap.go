package idmap

type Kind string

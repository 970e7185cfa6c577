#!/bin/sh
# A campus LAN in a namespace, and this machine's NIC on it: ens3, with an address of its own.
set -eu
ip netns add lan
ip link add ens3 type veth peer name lan0 netns lan
ip -n lan link set lo up
ip -n lan address add 10.8.0.1/16 dev lan0
ip -n lan link set lan0 up
ip address add 10.8.0.5/16 dev ens3
ip link set ens3 up

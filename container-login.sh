#!/usr/bin/env bash
# Enter the place where the tutorials' paths exist: /workspace/tao-experiments/{data,specs,commands}.
#
#   ./container-login.sh [--native | --namespace] [--workspace DIR] [-- COMMAND...]
#
#   (nothing)        docker where it works, otherwise --native
#   --native         a shell of this machine; detectnet_v2, tao and taolite resolve the paths through .tao_mounts.json
#   --namespace      the same, and the paths truly exist, for scripts that use them themselves (Linux; needs the right
#                    to make a user namespace); nothing on this machine is changed
#   --workspace DIR  another repository with data/, specs/ and commands/, such as the tutorial's, instead of this one
#   COMMAND          is run instead of a shell
#
# The first docker login builds the image taolite (docker/Dockerfile), with CUDA where docker has NVIDIA's runtime;
# TAOLITE_IMAGE names another image.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/commands/common.sh"
wants_help "$@"

mode='' workspace=''
while [ $# -gt 0 ]; do
  case "$1" in
    --native | --namespace) mode=${1#--} ;;
    --workspace)
      [ -d "${2:-}" ] || fail "--workspace needs a folder${2:+; $2 is none}"
      workspace=$(cd "$2" && pwd -P)
      shift
      ;;
    --inside) mode=inside ;; # how --namespace calls this script again, once it is there
    --) shift; break ;;
    *) help >&2; fail "$1 is not an option here" ;;
  esac
  shift
done
if [ -z "$mode" ]; then
  mode=docker
  if ! docker info >/dev/null 2>&1; then
    mode=native
    say "docker does not run here, so this is a shell of this machine (--native)"
  fi
fi
start=${workspace:-$ROOT}
if [ "$mode" != inside ]; then mkdir -p "$ROOT/workspace/data" "$ROOT/workspace/demo"; fi

in_docker() {
  local image=${TAOLITE_IMAGE:-taolite} options=(--interactive --rm --init --shm-size 2g) device=cpu
  if docker info --format '{{json .Runtimes}}' 2>/dev/null | grep -q nvidia; then
    device=cuda
    options+=(--gpus all)
  fi
  if ! docker image inspect "$image" >/dev/null 2>&1; then
    say "building the image $image for $device, some minutes the first time"
    docker build --tag "$image" --file "$ROOT/docker/Dockerfile" --build-arg "DEVICE=$device" "$ROOT" >&2
  fi
  if [ -t 0 ]; then options+=(--tty); fi
  if [ -n "${TAOLITE_KEY:-}" ]; then options+=(--env TAOLITE_KEY); fi
  if [ -n "$workspace" ]; then
    options+=(--volume "$workspace:$HERE")
  else
    options+=(
      --volume "$ROOT/workspace/data:$HERE/data"
      --volume "$ROOT/workspace/demo:$HERE/demo"
      --volume "$ROOT/specs:$HERE/specs"
      --volume "$ROOT/commands:$HERE/commands"
    )
  fi
  exec docker run "${options[@]}" --workdir "$HERE" "$image" "$@"
}

# The map of another repository is its whole folder; it is written there once, and stays for later calls.
map_workspace() {
  if [ -n "$workspace" ] && [ ! -f "$workspace/.tao_mounts.json" ]; then
    printf '{\n  "Mounts": [\n    {"source": ".", "destination": "%s"}\n  ]\n}\n' "$HERE" >"$workspace/.tao_mounts.json"
    say "wrote $workspace/.tao_mounts.json: $HERE is that folder"
  fi
}

shell_or() {
  export PATH="$ROOT/commands/bin:$ROOT/commands/jetson/bin:$PATH"
  export PYTHONPATH="$ROOT/taolite/jetson_modules${PYTHONPATH:+:$PYTHONPATH}" # import jetson.inference, jetson_utils
  if [ $# -gt 0 ]; then exec "$@"; fi
  say "on the PATH: taolite, detectnet_v2, tao, tao-converter, imagenet, detectnet; exit leaves"
  say "jetson-inference's train.py, train_ssd.py and others: $ROOT/commands/jetson/python/training"
  exec bash --rcfile <(printf '%s\n' '[ -f ~/.bashrc ] && . ~/.bashrc' "PS1='(taolite) \\w\\$ '" "PATH='$PATH'")
}

# Runs inside the namespace: a root folder that shows this machine as it is, and the container's paths besides.
enter_namespace() {
  local new=$1 folder
  shift
  mount -t tmpfs -o mode=755 taolite "$new"
  show_folder / "$new" workspace
  mkdir -p "$new/workspace"
  if [ -d /workspace ]; then show_folder /workspace "$new/workspace" tao-experiments; fi
  mkdir -p "$new$HERE"
  printf '{"Mounts": []}\n' >"$new/.tao_mounts.json" # the paths exist here, and no map leads elsewhere
  if [ -n "$workspace" ]; then
    mount --rbind "$workspace" "$new$HERE"
  else
    for folder in data demo; do mkdir "$new$HERE/$folder"; mount --rbind "$ROOT/workspace/$folder" "$new$HERE/$folder"; done
    for folder in specs commands; do mkdir "$new$HERE/$folder"; mount --rbind "$ROOT/$folder" "$new$HERE/$folder"; done
  fi
  exec "$(PATH="$PATH:/usr/sbin:/sbin" command -v chroot)" "$new" "$BASH" "$ROOT/container-login.sh" --inside -- "$@"
}

# show_folder FROM TO EXCEPT: every entry of FROM is there in TO, but one.
show_folder() {
  local entry name
  for entry in "${1%/}"/* "${1%/}"/.[!.]*; do
    name=${entry##*/}
    if [ "$name" = "$3" ]; then continue; fi
    if [ -L "$entry" ]; then
      cp -a "$entry" "$2/$name"
    elif [ -d "$entry" ]; then
      mkdir "$2/$name"
      mount --rbind "$entry" "$2/$name"
    elif [ -e "$entry" ]; then
      : >"$2/$name"
      mount --bind "$entry" "$2/$name"
    fi
  done
}

case $mode in
  docker) in_docker "$@" ;;
  native)
    map_workspace
    cd "$start"
    need_taolite
    shell_or "$@"
    ;;
  inside)
    export LAUNCHER_MOUNTS=/.tao_mounts.json
    cd "$HERE"
    shell_or "$@"
    ;;
  namespace)
    need_taolite
    unshare --user --map-root-user --mount true 2>/dev/null ||
      fail "this machine does not let you make a namespace; --native resolves the paths without one"
    new=$(mktemp -d "${TMPDIR:-/tmp}/taolite-root-XXXXXX")
    trap 'rmdir "$new"' EXIT
    export HERE ROOT workspace
    export -f enter_namespace show_folder
    unshare --user --map-root-user --mount -- "$BASH" -euc 'enter_namespace "$@"' taolite "$new" "$@"
    ;;
esac

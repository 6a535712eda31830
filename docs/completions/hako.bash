# bash completion for hako, written by "hako completion bash"

_hako_ids() {
    hako list -q 2>/dev/null
}

_hako() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local command="" flags="" values="" files="" choices="" operands="" i
    # --flag=value arrives as three words
    if [[ $cur == "=" ]]; then
        cur=""
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    # the command is the first word that is neither an option nor its value
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --log|--log-format|--root|--rootless|--timeline)
            [[ ${COMP_WORDS[i+1]} == "=" ]] && ((i++))
            ((i++))
            ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    case $command in
    "")
        flags="--debug --log --log-format --root --systemd-cgroup --rootless --timeline --version -v --help -h"
        values="--log --log-format --root --rootless --timeline"
        files="--log --root --timeline"
        case $prev in
        --log-format) choices="text json" ;;
        --rootless) choices="true false auto" ;;
        esac
        [[ $cur == -* ]] || operands="checkpoint completion create delete events exec features kill list pause ps restore resume run spec start state update help"
        ;;
    checkpoint)
        flags="--image-path --work-path --tcp-established --ext-unix-sk --shell-job --lazy-pages --file-locks --manage-cgroups-mode --empty-ns --auto-dedup --parent-path --leave-running --status-fd --page-server --pre-dump --help -h"
        values="--image-path --work-path --manage-cgroups-mode --empty-ns --parent-path --status-fd --page-server"
        files="--image-path --work-path --parent-path"
        case $prev in
        --manage-cgroups-mode) choices="ignore soft full strict" ;;
        esac
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    completion)
        flags="--help -h"
        values=""
        files=""
        [[ $cur == -* ]] || operands="bash zsh fish"
        ;;
    create)
        flags="--bundle -b --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --help -h"
        values="--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds"
        files="--bundle -b --console-socket --pidfd-socket --pid-file"
        ;;
    delete)
        flags="--force -f --help -h"
        values=""
        files=""
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    events)
        flags="--interval --stats --help -h"
        values="--interval"
        files=""
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    exec)
        flags="--console-socket --pidfd-socket --cwd --env -e --tty -t --user -u --additional-gids -g --process -p --detach -d --pid-file --process-label --apparmor --no-new-privs --cap -c --preserve-fds --cgroup --ignore-paused --help -h"
        values="--console-socket --pidfd-socket --cwd --env -e --user -u --additional-gids -g --process -p --pid-file --process-label --apparmor --cap -c --preserve-fds --cgroup"
        files="--console-socket --pidfd-socket --process -p --pid-file"
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    features)
        flags="--help -h"
        values=""
        files=""
        ;;
    kill)
        flags="--all -a --help -h"
        values=""
        files=""
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    list)
        flags="--format -f --quiet -q --help -h"
        values="--format -f"
        files=""
        case $prev in
        --format|-f) choices="table json" ;;
        esac
        ;;
    pause)
        flags="--help -h"
        values=""
        files=""
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    ps)
        flags="--format -f --help -h"
        values="--format -f"
        files=""
        case $prev in
        --format|-f) choices="table json" ;;
        esac
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    restore)
        flags="--image-path --work-path --tcp-established --ext-unix-sk --shell-job --lazy-pages --file-locks --manage-cgroups-mode --empty-ns --auto-dedup --console-socket --bundle -b --detach -d --pid-file --no-subreaper --no-pivot --lsm-profile --lsm-mount-context --help -h"
        values="--image-path --work-path --manage-cgroups-mode --empty-ns --console-socket --bundle -b --pid-file --lsm-profile --lsm-mount-context"
        files="--image-path --work-path --console-socket --bundle -b --pid-file"
        case $prev in
        --manage-cgroups-mode) choices="ignore soft full strict" ;;
        esac
        ;;
    resume)
        flags="--help -h"
        values=""
        files=""
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    run)
        flags="--bundle -b --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --detach -d --keep --no-subreaper --help -h"
        values="--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds"
        files="--bundle -b --console-socket --pidfd-socket --pid-file"
        ;;
    spec)
        flags="--bundle -b --rootless --help -h"
        values="--bundle -b"
        files="--bundle -b"
        ;;
    start)
        flags="--help -h"
        values=""
        files=""
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    state)
        flags="--help -h"
        values=""
        files=""
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    update)
        flags="--resources -r --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --cpu-idle --memory --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema --help -h"
        values="--resources -r --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --cpu-idle --memory --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema"
        files="--resources -r"
        [[ $cur == -* ]] || operands="$(_hako_ids)"
        ;;
    esac
    if [[ -n $choices ]]; then
        COMPREPLY=($(compgen -W "$choices" -- "$cur"))
    elif [[ " $files " == *" $prev "* ]]; then
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "$cur"))
    elif [[ " $values " == *" $prev "* ]]; then
        COMPREPLY=()
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    else
        COMPREPLY=($(compgen -W "$operands" -- "$cur"))
    fi
}

complete -F _hako hako

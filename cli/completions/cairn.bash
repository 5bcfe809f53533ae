# Completion of cairn for bash. Written by `cairn help --as bash`.
_cairn() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}"
    local command="${COMP_WORDS[1]}" options="" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="init add import search retrieve get scroll update delete prune export collection index stats optimize verify rebuild backup restore serve bench version help"
        COMPREPLY=($(compgen -W "$words" -- "$word"))
        return
    fi
    case "$command" in
        collection) words="create list drop" ;;
        index) words="create drop" ;;
    esac
    if [ -n "$words" ]; then
        if [ "$COMP_CWORD" -eq 2 ]; then
            COMPREPLY=($(compgen -W "$words" -- "$word"))
            return
        fi
        command="$command ${COMP_WORDS[2]}"
        words=""
    fi
    case "$command" in
        "init")
            options="--help --collection --dim --metric --quantization --index --model --lexical --embed"
            case "$before" in
                --metric) words="cosine l2 dot manhattan" ;;
                --quantization) words="none scalar f16 binary product scalar4" ;;
            esac
            ;;
        "add")
            options="--help --id --replace --text --vector --space --model --payload --domain --agent --type --confidence --usage-count --success-count --created-at --last-used --expires-at --collection --dim --metric --quantization --index --model --lexical --embed"
            case "$before" in
                --metric) words="cosine l2 dot manhattan" ;;
                --quantization) words="none scalar f16 binary product scalar4" ;;
            esac
            ;;
        "import")
            options="--help --format --domain --id-prefix --batch --on-error --acks --resume --no-optimize --json --collection --dim --metric --quantization --index --model --lexical --embed --progress"
            case "$before" in
                --format) words="jsonl csv fvecs npy" ;;
                --on-error) words="skip stop" ;;
                --metric) words="cosine l2 dot manhattan" ;;
                --quantization) words="none scalar f16 binary product scalar4" ;;
            esac
            ;;
        "search")
            options="--help --text --vector --k --mode --fusion --lexical-weight --min-score --space --model --domain --agent --type --filter --min-confidence --exact --ef --recall --nprobe --oversampling --device --timeout-ms --json --info --vectors --collection --embed"
            case "$before" in
                --mode) words="auto vector lexical hybrid" ;;
                --fusion) words="rrf weighted" ;;
                --device) words="cpu gpu" ;;
            esac
            ;;
        "retrieve")
            options="--help --text --vector --k --metric --vector-weight --metadata-weight --mmr --context --optimize --no-touch --json --domain --agent --type --filter --min-confidence --collection --embed"
            case "$before" in
                --metric) words="cosine l2 dot manhattan" ;;
            esac
            ;;
        "get")
            options="--help --vectors --json --collection"
            case "$before" in
            esac
            ;;
        "scroll")
            options="--help --limit --cursor --vectors --json --info --domain --agent --type --filter --min-confidence --collection"
            case "$before" in
            esac
            ;;
        "update")
            options="--help --if-version --text --vector --space --model --payload --domain --agent --type --confidence --usage-count --success-count --created-at --last-used --expires-at --collection --embed"
            case "$before" in
            esac
            ;;
        "delete")
            options="--help --dry-run --domain --agent --type --filter --min-confidence --collection"
            case "$before" in
            esac
            ;;
        "prune")
            options="--help --dry-run --domain --merge-similarity --min-confidence --min-usage --max-age-days --no-merge --no-prune --json --collection"
            case "$before" in
            esac
            ;;
        "export")
            options="--help --output --format --with-schema --no-vectors --force --domain --agent --type --filter --min-confidence --collection --progress"
            case "$before" in
                --format) words="jsonl npy" ;;
            esac
            ;;
        "collection create")
            options="--help --metadata --dim --metric --quantization --index --model --lexical --embed"
            case "$before" in
                --metric) words="cosine l2 dot manhattan" ;;
                --quantization) words="none scalar f16 binary product scalar4" ;;
            esac
            ;;
        "collection list")
            options="--help --json"
            case "$before" in
            esac
            ;;
        "collection drop")
            options="--help"
            case "$before" in
            esac
            ;;
        "index create")
            options="--help --collection"
            case "$before" in
            esac
            ;;
        "index drop")
            options="--help --collection"
            case "$before" in
            esac
            ;;
        "stats")
            options="--help --json --collection"
            case "$before" in
            esac
            ;;
        "optimize")
            options="--help --collection --progress"
            case "$before" in
            esac
            ;;
        "verify")
            options="--help --json --progress"
            case "$before" in
            esac
            ;;
        "rebuild")
            options="--help --progress"
            case "$before" in
            esac
            ;;
        "backup")
            options="--help --progress"
            case "$before" in
            esac
            ;;
        "restore")
            options="--help --progress"
            case "$before" in
            esac
            ;;
        "serve")
            options="--help --data --host --port --config --slow-ms --embed-url --embed-models --no-access-log --keys --insecure --cors --audit-log --tls-cert --tls-key --tls-client-ca --new-key --key-name --key-collections --workers --queue --connections --body-max-mb --head-timeout --body-timeout --idle-timeout --write-timeout --request-timeout --shutdown-timeout"
            case "$before" in
            esac
            ;;
        "bench")
            options="--help --data --queries --truth --cache --generate --rows --lid --seed --dim --metric --quantization --index --model --lexical --k --ef --nprobe --copied --oversampling --threads --repeat --seconds --filter-selectivity --filter-kind --filter-out --mixed --churn --json --plot --compare --dir --keep --reuse --progress"
            case "$before" in
                --generate) words="clustered gaussian" ;;
                --metric) words="cosine l2 dot manhattan" ;;
                --quantization) words="none scalar f16 binary product scalar4" ;;
                --filter-kind) words="random correlated anticorrelated all" ;;
            esac
            ;;
        "version")
            options="--help"
            case "$before" in
            esac
            ;;
        "help")
            options="--help --as"
            case "$before" in
                --as) words="man markdown bash zsh" ;;
            esac
            ;;
    esac
    if [ -n "$words" ]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    elif [ "${word#-}" != "$word" ]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}
complete -o filenames -F _cairn cairn

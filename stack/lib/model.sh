# shellcheck shell=bash
# Which model the fleet of this stack runs: the repository's default, or the folder that `./run.sh model use` chose.

# shellcheck disable=SC2034 # used by model.sh
MODELS="$STACK/models"      # downloads and exports, one folder for each published model
MODEL_CHOICE="$STACK/model" # DIR=folder of model.onnx and model.json, NAME=its name; missing: the default model
DEFAULT_MODEL="$ROOT/models/default"
# shellcheck disable=SC2034 # used by model.sh
MODEL_NAMES=(emotion2vec+large emotion2vec+base emotion2vec+seed)

chosen() { sed -n "s/^$1=//p" "$MODEL_CHOICE" 2>/dev/null || true; }

# model_dir: the folder of the chosen model.
model_dir() {
  local dir
  dir="$(chosen DIR)"
  printf '%s' "${dir:-$DEFAULT_MODEL}"
}

# model_name FOLDER: the name that jobs carry, from its model.json.
model_name() { grep -oE '"name"[[:space:]]*:[[:space:]]*"[^"]*"' "$1/model.json" | head -n 1 | cut -d'"' -f4 || true; }

# model_settings: export lines for the environment of the programs; see lib/environment.sh. EMOFLEET_STACK_MODEL tells these
# lines' folder from one that the user names.
model_settings() {
  local name
  default EMOFLEET__MODEL__DIR "$(model_dir)"
  name="$(chosen NAME)"
  if [[ -n "$name" ]]; then default EMOFLEET__MODEL__NAME "$name"; fi
  fixed EMOFLEET_STACK_MODEL "$(model_dir)"
}

# An earlier `eval "$(./run.sh env)"` may have left the model of that time in the shell. It must not win over the chosen one.
forget_own_model() {
  if [[ -n "${EMOFLEET_STACK_MODEL:-}" && "${EMOFLEET__MODEL__DIR:-}" == "$EMOFLEET_STACK_MODEL" ]]; then
    unset EMOFLEET__MODEL__DIR EMOFLEET__MODEL__NAME
  fi
  unset EMOFLEET_STACK_MODEL
}

# remember_model FOLDER: for this start and later ones.
remember_model() {
  if [[ "$1" == "$DEFAULT_MODEL" ]]; then
    rm -f "$MODEL_CHOICE"
  else
    printf 'DIR=%s\nNAME=%s\n' "$1" "$(model_name "$1")" >"$MODEL_CHOICE.new"
    mv "$MODEL_CHOICE.new" "$MODEL_CHOICE"
  fi
  [[ -f "$ENV_FILE" ]] || return 0
  {
    grep -vE '^export EMOFLEET_(_MODEL__(DIR|NAME)|STACK_MODEL)[=;]' "$ENV_FILE"
    model_settings
  } >"$ENV_FILE.new"
  chmod 600 "$ENV_FILE.new"
  mv "$ENV_FILE.new" "$ENV_FILE"
}

(** What is refused or skipped changes nothing, with the exceptions that the rules name. *)
From stdpp Require Import base numbers gmap strings list.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
Local Open Scope N_scope.

Section refusals.
  Context {M : Type} `{Bindings M}.
  Context (through_cache : bool).
  Implicit Types (s : state M).

  Definition is_refusal (o : outcome) : bool :=
    match o with Error _ | Skipped | Unsupported => true | _ => false end.

  (** The operations that may change something though they fail: reset makes a base context (RESET-5);
      a call of run has ended, and was entered, whatever comes of it. *)
  Definition changes_though_refused (op : operation) : bool :=
    match op with
    | OpVarReset _ _ | OpTokenExit _ | OpCapiVarReset _ _ | OpReturn | OpRaise
    | OpAttempt RunWithKeywords _ | OpAttempt RunNotCallable _ => true
    | _ => false
    end.

  (** Every other operation that raises, is skipped or is not supported changes nothing at all. *)
  Theorem refused_changes_nothing th op s : changes_though_refused op = false ->
    is_refusal (operate through_cache th op s).2 = true -> (operate through_cache th op s).1 = s.
  Proof.
    destruct op; try destruct tried; cbn [operate changes_though_refused]; try discriminate; intros _;
      unfold new_variable, on_token, on_context, run_begin, enter, exit, look_up, iterate, next, attempt, weak_reference, drop,
        add_watcher, clear_watcher, start_thread, copy_current, answer, set, get, refuse, has_current, end_thread in *;
      repeat match goal with |- context [match ?x with _ => _ end] =>
        lazymatch x with context [match _ with _ => _ end] => fail | _ => destruct x end
      end; cbn; congruence || reflexivity.
  Qed.
End refusals.

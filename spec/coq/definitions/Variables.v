(** Contexts are made and copied; variables are made, looked up, set and reset: one function an
    operation, each headed by the rules that it implements. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Import Words Bindings State.
Local Open Scope N_scope.

Section machine.
  Context {M : Type} `{Bindings M}.
  (** Whether [ContextVar.get] trusts the lookup cache, as CPython does. That both machines answer
      alike is a theorem (proofs/Cache.v). *)
  Context (through_cache : bool).

  Notation state := (state M).
  Implicit Types s : state.

  (** ** Contexts *)

  (** A new context, named or not. *)
  Definition add_context (x : context M) s : state :=
    set_next_context (next_context s + 1) (put_context (next_context s) x s).

  (** CONTEXT-1, CAPI-1. *)
  Definition name_context (name : context_id) (map : M) s : state :=
    set_names (insert name (next_context s)) (add_context (MkContext map false (Some name)) s).

  (** SET-2, RESET-5, COPY-3, VER-2 ([context_get]): no version changes, nobody is told. *)
  Definition current_or_base (th : thread_id) s : state * N :=
    let t := thread_of s th in
    match current t with
    | Some c => (s, c)
    | None =>
        let base := next_context s in
        (put_thread th
           (MkThread (th_live t) (Some base) (th_stack t) (th_ver t) (th_switches t) (th_frames t))
           (add_context new_context s),
         base)
    end.

  Definition set_map (c : N) (map : M) s : state :=
    let x := context_of s c in
    put_context c (MkContext map (ctx_entered x) (ctx_name x)) s.

  (** COPY-1 ([PyContext_Copy]). *)
  Definition copy (source : N) (name : context_id) s : state :=
    name_context name (ctx_map (context_of s source)) s.

  (** COPY-2, COPY-3, CAPI-3 ([PyContext_CopyCurrent]). *)
  Definition copy_current (th : thread_id) (name : context_id) s : state :=
    let '(s, c) := current_or_base th s in copy c name s.

  (** ** Variables *)

  (** VAR-1, VAR-5, CAPI-4 ([contextvar_new]). *)
  Definition new_variable (name : string) (hash : option u64) (initial : option value)
      (v : variable_id) s : state * outcome :=
    match variables s !! v with
    | Some _ => (s, Skipped)
    | None =>
        let hash := default (U64 0 v) hash in
        (set_variables (insert v (MkVariable name initial hash None true)) s, Done)
    end.

  Definition set_cache (v : variable_id) (c : option cache) s : state :=
    match variables s !! v with
    | Some x =>
        set_variables (insert v (MkVariable (var_name x) (var_default x) (var_hash x) c (var_held x))) s
    | None => s
    end.

  (** CACHE-1, CACHE-2. *)
  Definition fill_cache (th : thread_id) (v : variable_id) (bound : value) s : state :=
    let t := thread_of s th in
    set_cache v (Some (MkCache (CacheEntry bound th (th_ver t)) (th_switches t))) s.

  (** CACHE-5: what the cache answers to a thread. *)
  Definition cache_hit (th : thread_id) (t : thread) (x : variable) : option value :=
    match var_cache x with
    | Some (MkCache e _) =>
        if (cached_thread e =? th) && u64_eqb (cached_ver e) (th_ver t)
        then Some (cached_value e) else None
    | None => None
    end.

  (** What the current context binds: GET-1, GET-5. *)
  Definition lookup_map (t : thread) (v : variable_id) (x : variable) s : option value :=
    match current t with
    | Some c => find (key_of v x) (ctx_map (context_of s c))
    | None => None
    end.

  Definition lookup (th : thread_id) (v : variable_id) (x : variable) s : option value :=
    let t := thread_of s th in
    match (if through_cache && present (current t) then cache_hit th t x else None) with
    | Some bound => Some bound
    | None => lookup_map t v x s
    end.

  (** GET-1 to GET-5, CACHE-1, CACHE-4 ([PyContextVar_Get]). *)
  Definition get (th : thread_id) (v : variable_id) (given : option value) s : state * outcome :=
    match held_variable s v with
    | None => (s, Skipped)
    | Some x =>
        match lookup th v x s with
        | Some bound => (fill_cache th v bound s, AnObject (object_of bound))
        | None =>
            (s, match given, var_default x with
                | Some d, _ | None, Some d => AnObject (object_of d)
                | None, None => Error (LookupError v)
                end)
        end
    end.

  (** ORDER-1 to ORDER-3, CACHE-2 ([contextvar_set]). *)
  Definition bind (th : thread_id) (c : N) (v : variable_id) (x : variable) (bound : value) s : state :=
    fill_cache th v bound (set_map c (assoc (key_of v x) bound (ctx_map (context_of s c))) s).

  (** CACHE-3 ([contextvar_del]). *)
  Definition unbind (c : N) (v : variable_id) (x : variable) s : state :=
    set_cache v None (set_map c (without (key_of v x) (ctx_map (context_of s c))) s).

  (** SET-1 to SET-5 ([PyContextVar_Set]): the token first, then the binding. *)
  Definition set (th : thread_id) (v : variable_id) (bound : value) (made : token_id) s : state * outcome :=
    match held_variable s v with
    | None => (s, Skipped)
    | Some x =>
        if negb (is_bound s (object_of bound)) || present (tokens s !! made) then (s, Skipped)
        else
          let '(s, c) := current_or_base th s in
          let old := find (key_of v x) (ctx_map (context_of s c)) in
          (bind th c v x bound (set_tokens (insert made (MkToken c v old false true)) s), Done)
    end.

  (** TOKEN-4: all but the flag stays. *)
  Definition use (id : token_id) (t : token) s : state :=
    set_tokens (insert id (MkToken (tok_context t) (tok_variable t) (tok_old t) true (tok_held t))) s.

  (** RESET-2 to RESET-9, THREAD-2, THREAD-3 ([PyContextVar_Reset]). *)
  Definition reset (th : thread_id) (v : variable_id) (id : token_id) (t : token) s : state * outcome :=
    if tok_used t then (s, Error (TokenUsed id))
    else if negb (tok_variable t =? v) then (s, Error (TokenOfOtherVariable id))
    else
      let '(s, c) := current_or_base th s in
      if negb (tok_context t =? c) then (s, Error (TokenOfOtherContext id))
      else
        match variables s !! v with
        | None => (s, Skipped)    (* a token's variable exists (proofs/Invariant.v) *)
        | Some x =>
            let s := use id t s in
            match tok_old t with
            | Some old => (bind th c v x old s, Done)
            | None =>
                if present (find (key_of v x) (ctx_map (context_of s c)))
                then (unbind c v x s, Done)
                else (s, Error (LookupError v))   (* unreachable (proofs/Missing.v) *)
            end
        end.

  (** A wrong operand: the error that the rule gives it. *)
  Definition refuse (o : object) (e : error) s : state * outcome :=
    (s, if is_bound s o then Error e else Skipped).

  (** RESET-1 ([_contextvars_ContextVar_reset]). *)
  Definition reset_any (th : thread_id) (v : variable_id) (o : object) s : state * outcome :=
    match held_variable s v with
    | None => (s, Skipped)
    | Some _ =>
        match o with
        | ObjectToken id =>
            match held_token s id with None => (s, Skipped) | Some t => reset th v id t s end
        | _ => refuse o (TokenExpected o) s
        end
    end.
End machine.

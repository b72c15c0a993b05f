(** What run answers, and what watchers are told of a switch. *)
From stdpp Require Import base numbers gmap strings list.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
Local Open Scope N_scope.

Section calls.
  Context {M : Type} `{Bindings M}.
  Context (through_cache : bool).
  Implicit Types s : state M.
  Notation operate := (operate through_cache).

  (** RUN-7: a context that was exited inside replaces the result. *)
  Theorem return_not_entered th c name frames result s :
    th_frames (thread_of s th) = (c, name) :: frames -> ctx_entered (context_of s c) = false ->
    (run_end th result s).2 = Error (NotEntered name).
  Proof.
    intros E F. unfold run_end. rewrite E. unfold exit, set_frames, put_thread, context_of. cbn.
    fold (context_of s c). rewrite F. reflexivity.
  Qed.

  (** RUN-8: a context left on top replaces the result. *)
  Theorem return_not_current th c name frames result s :
    th_frames (thread_of s th) = (c, name) :: frames -> ctx_entered (context_of s c) = true ->
    current (thread_of s th) <> Some c ->
    (run_end th result s).2 = Error (NotCurrent name).
  Proof.
    intros E F G. unfold run_end. rewrite E. unfold exit, set_frames, put_thread, context_of. cbn.
    fold (context_of s c). rewrite F. cbn. unfold is_current, thread_of at 1. cbn. rewrite lookup_insert. cbn.
    unfold current in *. cbn. fold (thread_of s th).
    destruct (th_stack (thread_of s th)) as [|d rest]; [destruct (th_base (thread_of s th)) as [d|]|];
      try reflexivity; (destruct (N.eqb_spec c d); [congruence | reflexivity]).
  Qed.

  (** RUN-5, RUN-6: a call that ends at once is entered and exited, and answers what the call does: the
      keywords, or the error of calling what cannot be called. *)
  Theorem call_at_once th name c result s :
    names s !! name = Some c -> ctx_entered (context_of s c) = false ->
    (run_at_once th name result s).2 = result /\
    th_stack (thread_of (run_at_once th name result s).1 th) = th_stack (thread_of s th) /\
    ctx_entered (context_of (run_at_once th name result s).1 c) = false.
  Proof.
    intros E F. unfold run_at_once. rewrite E. unfold enter. rewrite F.
    unfold exit, switch, tell, set_entered, put_context, put_thread, is_current, thread_of, context_of. cbn.
    rewrite !lookup_insert. cbn. rewrite ?lookup_insert. cbn. rewrite N.eqb_refl. cbn. rewrite ?lookup_insert. cbn. auto.
  Qed.

  (** RUN-5, RUN-6. *)
  Theorem run_attempts th name s : is_bound s (ObjectContext name) = true ->
    operate th (OpAttempt RunWithKeywords (ObjectContext name)) s = run_at_once th name (Count 2) s /\
    operate th (OpAttempt RunNotCallable (ObjectContext name)) s =
      run_at_once th name (Error (Unspecified TypeError)) s.
  Proof. intros E. cbn [Machine.operate]. unfold attempt. rewrite E. auto. Qed.

  (** Every watcher, in the order of the numbers, with what it is told. *)
  Definition told (ws : list (option watcher_id)) (shown : current_context) : list event :=
    (fun w => Event w shown) <$> omap id ws.

  Lemma tell_events c s :
    rev (events (tell c s)) = rev (events s) ++
      told (watchers s) (match c with
        | None => Null
        | Some c => match ctx_name (context_of s c) with Some name => Named name | None => Unnamed end
        end).
  Proof.
    unfold tell, told. cbn. rewrite rev_append_rev, rev_app_distr, rev_involutive. f_equal.
    induction (watchers s) as [|[w|] ws IH]; cbn; [reflexivity | rewrite <- IH; reflexivity | exact IH].
  Qed.

  (** WATCH-1: an enter tells every watcher, in order, the context that is current then. *)
  Theorem enter_tells th name c s : names s !! name = Some c -> ctx_entered (context_of s c) = false ->
    rev (events (operate th (OpEnter (ObjectContext name)) s).1) = rev (events s) ++
      told (watchers s) (match ctx_name (context_of s c) with Some n => Named n | None => Unnamed end).
  Proof.
    intros E F. cbn. unfold on_context, answer. rewrite E. unfold enter. rewrite F. unfold switch. cbn [fst].
    rewrite tell_events. cbn. unfold context_of at 1. cbn. rewrite lookup_insert. reflexivity.
  Qed.

  (** WATCH-1: an exit tells the context below, or that there is none. *)
  Theorem exit_tells th name c s : names s !! name = Some c -> ctx_entered (context_of s c) = true ->
    is_current c (thread_of s th) = true ->
    rev (events (operate th (OpExit (ObjectContext name)) s).1) = rev (events s) ++
      told (watchers s)
        (match tail (th_stack (thread_of s th)), th_base (thread_of s th) with
         | d :: _, _ | [], Some d =>
             match ctx_name (context_of s d) with Some n => Named n | None => Unnamed end
         | [], None => Null
         end).
  Proof.
    intros E F G. cbn. unfold on_context, answer. rewrite E. unfold exit. rewrite F, G. cbn [negb]. unfold switch. cbn [fst].
    rewrite tell_events. unfold current. cbn.
    assert (forall d, ctx_name (context_of (set_entered c false s) d) = ctx_name (context_of s d)) as K.
    { intros d. unfold set_entered, put_context, context_of. cbn. destruct (decide (c = d)) as [<-|].
      - rewrite lookup_insert. reflexivity.
      - rewrite lookup_insert_ne by assumption. reflexivity. }
    assert (thread_of (set_entered c false s) th = thread_of s th) as T by reflexivity.
    rewrite T. destruct (tail (th_stack (thread_of s th))) as [|d rest]; [destruct (th_base (thread_of s th)) as [d|]|];
      try reflexivity; (specialize (K d); unfold context_of in *; cbn in *; rewrite K; reflexivity).
  Qed.
End calls.
